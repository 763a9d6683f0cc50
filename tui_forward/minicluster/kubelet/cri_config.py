"""Conversion of a Pod object to the CRI configuration of its sandbox and containers."""

from __future__ import annotations

from pathlib import Path

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet import objects
from tui_forward.minicluster.kubelet.objects import Object


def log_directory(root: Path, pod: Object) -> Path:
    """Return the folder of a pod's logs."""
    metadata = pod["metadata"]
    name = f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
    return root / "pods" / name


def runtime_labels(pod: Object) -> dict[str, str]:
    """Return the labels that identify a pod in the runtime."""
    metadata = pod["metadata"]
    return {
        objects.POD_NAME: metadata["name"],
        objects.POD_NAMESPACE: metadata["namespace"],
        objects.POD_UID: metadata["uid"],
    }


def sandbox_config(pod: Object, root: Path, attempt: int) -> cri.PodSandboxConfig:
    """Return the configuration of a pod's sandbox; `attempt` counts its sandboxes."""
    metadata, spec = pod["metadata"], pod["spec"]
    network = cri.NODE if spec.get("hostNetwork") else cri.POD
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            **{key: metadata[key] for key in ("name", "uid", "namespace")}, attempt=attempt
        ),
        hostname="" if spec.get("hostNetwork") else (spec.get("hostname") or metadata["name"])[:63],
        log_directory=str(log_directory(root, pod)),
        labels={**(metadata.get("labels") or {}), **runtime_labels(pod)},
        linux=cri.LinuxPodSandboxConfig(
            security_context=cri.LinuxSandboxSecurityContext(
                namespace_options=cri.NamespaceOption(network=network, pid=cri.CONTAINER)
            )
        ),
    )


def container_config(
    pod: Object, container: Object, root: Path, attempt: int, *, pod_ip: str, host_ip: str
) -> cri.ContainerConfig:
    """Return the configuration of a container; `attempt` is its restart count."""
    spec = pod["spec"]
    network = cri.NODE if spec.get("hostNetwork") else cri.POD
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container["name"], attempt=attempt),
        image=cri.ImageSpec(image=container["image"]),
        command=[str(word) for word in container.get("command") or ()],
        args=[str(word) for word in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[
            cri.KeyValue(key=key, value=value.encode())
            for key, value in environment(pod, container, pod_ip=pod_ip, host_ip=host_ip).items()
        ],
        mounts=_mounts(pod, container, root),
        labels={**runtime_labels(pod), objects.CONTAINER_NAME: container["name"]},
        annotations={objects.RESTART_COUNT: str(attempt)},
        log_path=f"{container['name']}/{attempt}.log",
        linux=cri.LinuxContainerConfig(
            security_context=cri.LinuxContainerSecurityContext(
                namespace_options=cri.NamespaceOption(network=network, pid=cri.CONTAINER)
            )
        ),
    )


def environment(pod: Object, container: Object, *, pod_ip: str, host_ip: str) -> dict[str, str]:
    """Return `env` with field references resolved; other sources do not exist here."""
    metadata, spec = pod["metadata"], pod["spec"]
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "status.podIP": pod_ip,
        "status.hostIP": host_ip,
    }
    variables: dict[str, str] = {}
    for entry in container.get("env") or ():
        source = (entry.get("valueFrom") or {}).get("fieldRef") or {}
        variables[entry["name"]] = str(
            fields.get(str(source.get("fieldPath")), "") if source else entry.get("value") or ""
        )
    return variables


def _mounts(pod: Object, container: Object, root: Path) -> list[cri.Mount]:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    mounts = []
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount["name"]) or {}
        if "hostPath" in volume:
            source = str(volume["hostPath"]["path"])
        elif "emptyDir" in volume:
            folder = log_directory(root, pod) / "volumes" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            source = str(folder)
        else:
            continue
        path, readonly = mount["mountPath"], bool(mount.get("readOnly"))
        mounts.append(cri.Mount(container_path=path, host_path=source, readonly=readonly))
    return mounts


def go_duration(seconds: float) -> str:
    """Format whole seconds as Go prints a duration."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
