"""Faults by name, for `cluster fault NAME [on|off]`: what each is, and the requests that make it.

A name begins with the hop that is at fault. The requests are those of `control_socket`; their
answers, and the objects of `fault_objects`, are those of a real Kubernetes 1.36 with containerd.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from tui_forward.errors import UsageError
from tui_forward.minicluster.fault_objects import NAMESPACE, objects_of

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NamedFault:
    """A fault that can be turned on and off."""

    name: str
    summary: str
    on: tuple[Request, ...]
    off: tuple[Request, ...]
    target: str = ""  # what to forward to, to see it: `pod/x`; empty for any pod
    namespace: str = ""  # of the target

    @property
    def hop(self) -> str:
        """The first word of the name, such as `kubelet`."""
        return self.name.partition("-")[0]


def _request(fault: str, **fields: Any) -> Request:
    return {"fault": fault, **fields}


def _objects(name: str, summary: str, kind: str = "pod", *more: Request) -> NamedFault:
    """Return a fault that consists of objects; `more` follows their creation."""
    objects = objects_of(name)
    # Pods that are gone free what they hold before their nodes and services go.
    named = [{"kind": each["kind"], "metadata": each["metadata"]} for each in reversed(objects)]
    on = (_request("put-objects", objects=objects), *more)
    off = (_request("delete-objects", objects=named),)
    return NamedFault(name, summary, on, off, f"{kind}/{name}", NAMESPACE)


def _switched(name: str, summary: str, fault: str, off: Request, **on: Any) -> NamedFault:
    """Return a fault of components: one request with other fields for on and off."""
    common = {key: value for key, value in on.items() if key == "component"}
    return NamedFault(name, summary, (_request(fault, **on),), (_request(fault, **common, **off),))


def _process(component: str, name: str, summary: str, verb: str) -> NamedFault:
    undo = {"stop": "start", "pause": "resume"}[verb]
    return NamedFault(
        name,
        summary,
        (_request(f"{verb}-component", component=component),),
        (_request(f"{undo}-component", component=component),),
    )


def _certificate(component: str, prefix: str, flaw: str, summary: str) -> NamedFault:
    return _switched(
        f"{prefix}-{flaw}", summary, "certificate", {"flaw": ""}, component=component, flaw=flaw
    )


def _gateway(mode: str, summary: str) -> NamedFault:
    return _switched(f"gateway-{mode}", summary, "gateway", {"mode": ""}, mode=mode)


_SANDBOX = _request("stop-sandbox", namespace=NAMESPACE, pod="pod-sandbox-gone")

FAULTS: tuple[NamedFault, ...] = (
    _objects("pod-unschedulable", "no node fits its node selector"),
    _objects("pod-claim-missing", "its PersistentVolumeClaim does not exist"),
    _objects("pod-scheduling-gate", "waits for a scheduling gate"),
    _objects("pod-no-scheduler", "no scheduler looks at it"),
    _objects("pod-image-pull", "its image cannot be pulled"),
    _objects("pod-image-never-pulled", "its image is not on the node, and never pulled"),
    _objects("pod-image-name", "the name of its image is invalid"),
    _objects("pod-init-failing", "its init container fails again and again"),
    _objects("pod-init-running", "its init container still runs"),
    _objects("pod-config-missing", "a ConfigMap of its environment does not exist"),
    _objects("pod-volume-missing", "a ConfigMap of its volume does not exist"),
    _objects("pod-crash-loop", "its container exits again and again"),
    _objects("pod-start-error", "its program does not exist in the image"),
    _objects("pod-out-of-memory", "its container runs out of memory again and again"),
    _objects("pod-not-ready", "serves, but its readiness probe fails"),
    _objects("pod-readiness-gate", "serves, but nothing sets its readiness gate"),
    _objects("pod-terminating", "serves while it is being deleted, for ten minutes"),
    _objects("pod-completed", "has succeeded and does not run again"),
    _objects("pod-failed", "has failed and does not run again"),
    _objects("pod-evicted", "was evicted by its node"),
    _objects("pod-deadline-exceeded", "ran longer than its deadline"),
    _objects("pod-sandbox-gone", "loses its sandbox, and gets another one", "pod", _SANDBOX),
    _objects("workload-scaled-to-zero", "a Deployment without replicas", "deploy"),
    _objects("workload-job-completed", "a Job that has completed", "job"),
    _objects("workload-job-failed", "a Job that has failed", "job"),
    _objects("service-no-pods", "its selector matches no pod", "svc"),
    _objects("service-no-selector", "has neither selector nor endpoints", "svc"),
    _objects("service-external-name", "stands for a name outside the cluster", "svc"),
    _objects("service-port-name-missing", "no container has a port of its target's name", "svc"),
    _objects("port-closed", "nothing listens"),
    _objects("port-ipv6-only", "listens on ::1 only"),
    _objects("port-resets", "accepts and resets"),
    _objects("port-closes", "accepts and closes without a byte"),
    _objects("port-silent", "accepts and never answers, which is no fault"),
    _objects("port-udp", "the declared port is UDP"),
    _objects("node-missing", "a pod on a node that does not exist any more"),
    _objects("node-no-address", "a pod on a node without an address"),
    _objects("node-name-unknown", "a pod on a node whose name cannot be resolved"),
    _switched(
        "node-not-ready",
        "the kubelets report that their nodes are not ready",
        "node-ready",
        {"on": True},
        component="kubelet",
        on=False,
    ),
    _process("kubelet", "kubelet-stopped", "the kubelets refuse connections", "stop"),
    _process("kubelet", "kubelet-paused", "the kubelets accept and never answer", "pause"),
    _switched(
        "kubelet-unreachable",
        "the API server has no route to the kubelets, which it finds out after 3 s",
        "dial",
        {"mode": ""},
        mode="no-route",
    ),
    _switched(
        "kubelet-filtered",
        "packets to the kubelets are dropped, which the API server finds out after 30 s",
        "dial",
        {"mode": ""},
        mode="timeout",
    ),
    _certificate("kubelet", "kubelet-certificate", "other-ca", "of an unknown authority"),
    _certificate("kubelet", "kubelet-certificate", "wrong-name", "of another name"),
    _certificate("kubelet", "kubelet-certificate", "expired", "has expired"),
    _switched(
        "kubelet-unauthorized",
        "the kubelets do not accept the API server's certificate (401)",
        "authorization",
        {"status": 0},
        component="kubelet",
        status=401,
    ),
    _switched(
        "kubelet-forbidden",
        "the kubelets do not allow it to the API server's user (403)",
        "authorization",
        {"status": 0},
        component="kubelet",
        status=403,
    ),
    _process("runtime", "runtime-stopped", "the container runtimes are down", "stop"),
    _process("runtime", "runtime-paused", "the container runtimes never answer", "pause"),
    _process("apiserver", "api-stopped", "refuses connections; all tunnels end", "stop"),
    _process("apiserver", "api-paused", "accepts and never answers", "pause"),
    _switched(
        "api-ending",
        "refuses new connections, as while it shuts down; open tunnels go on",
        "accept",
        {"on": True},
        on=False,
    ),
    _switched(
        "api-starting",
        "has not read the Roles yet: 403 for all but administrators (use --context porter)",
        "roles",
        {"on": True},
        on=False,
    ),
    _switched(
        "api-unauthorized",
        "accepts no credentials (401)",
        "credentials",
        {"mode": ""},
        mode="refused",
    ),
    _switched(
        "api-anonymous",
        "ignores all credentials: 403 for system:anonymous",
        "credentials",
        {"mode": ""},
        mode="ignored",
    ),
    _switched(
        "api-busy",
        "429 for all but administrators (use --context porter)",
        "throttle",
        {"on": False},
        on=True,
    ),
    _switched(
        "api-history-gone",
        "410 for every watch, as if its version were too old",
        "gone",
        {"times": 0},
        times=1_000_000_000,
    ),
    _gateway("strips-upgrade", "takes the Upgrade header away"),
    _gateway("no-spdy", "refuses SPDY, lets WebSockets through"),
    _gateway("403", "answers upgrades with 403 and a page of its own"),
    _gateway("502", "answers everything with 502"),
    _gateway("503", "answers everything with 503 and plain text"),
    _gateway("504", "answers upgrades with 504, after 5 s"),
    _gateway("redirect", "redirects everything to a login page"),
    _gateway("login-page", "answers everything with a login page"),
    _switched(
        "gateway-cuts-tunnels",
        "cuts each tunnel after 5 s",
        "tunnel-life",
        {"seconds": 0},
        seconds=5,
    ),
    _certificate("apiserver", "certificate", "other-ca", "of an unknown authority"),
    _certificate("apiserver", "certificate", "wrong-name", "of another name"),
    _certificate("apiserver", "certificate", "expired", "has expired"),
    _certificate("apiserver", "certificate", "not-yet-valid", "is not valid yet"),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def unknown_fault(name: str) -> UsageError:
    """Return the error for a name that is none of a fault, with those that are similar."""
    close = difflib.get_close_matches(name, BY_NAME, n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(close[:-1])} or {close[-1]}?" if close[1:] else ""
    if len(close) == 1:
        hint = f"Did you mean {close[0]}?"
    return UsageError(f"unknown fault {name!r}", hint=hint or "`list` shows all faults.")
