"""Synthetic pods: thousands of realistic objects without containers.

They have namespaces of their own, belong to Deployments and ReplicaSets, and are bound to virtual
nodes without a kubelet: dialing the node of a port-forward fails. This module reports what a
kubelet would report. With a churn rate, pods restart, lose and regain readiness, and are deleted
and replaced.
"""

from __future__ import annotations

import asyncio
import random
import re

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.discovery import VERSION
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter, set_pod_condition
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change, Item, Store, encode, key_of
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers import pod_control
from tui_forward.minicluster.controllers.managed_fields import managed_fields

PODS_PER_DEPLOYMENT = 20
DEPLOYMENTS_PER_NAMESPACE = 10
PODS_PER_NODE = 500
TAINT = "minicluster.local/virtual"
NODE_PREFIX = "virtual-"
NAMESPACE_PREFIX = "team-"
_ENVIRONMENT_SIZE = 60
_KUBELET_DELAY_S = 0.05


class SyntheticPods:
    """Creates the synthetic pods and simulates their kubelets."""

    def __init__(self, config: ApiServerConfig, store: Store, writer: ObjectWriter) -> None:
        self._count = config.pods
        self._churn = config.churn
        self._store = store
        self._writer = writer
        self._random = random.Random(config.seed)
        self._managed: list[Object] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def populate(self) -> None:
        """Create nodes, namespaces, Deployments, ReplicaSets and pods, all in their final state."""
        if self._count:
            with self._store.bulk():
                self._create_all()

    def _create_all(self) -> None:
        for number in range((self._count + PODS_PER_NODE - 1) // PODS_PER_NODE):
            self._create_node(f"{NODE_PREFIX}{number}")
        for number, first in enumerate(range(0, self._count, PODS_PER_DEPLOYMENT)):
            namespace = f"{NAMESPACE_PREFIX}{number // DEPLOYMENTS_PER_NAMESPACE:02d}"
            if number % DEPLOYMENTS_PER_NAMESPACE == 0:
                self._writer.create(resources.NAMESPACES, {"metadata": {"name": namespace}}, "")
            size = min(self._count - first, PODS_PER_DEPLOYMENT)
            self._create_deployment(namespace, f"svc{number:04d}", size, first)

    def _create_node(self, name: str) -> None:
        now = timestamps.now()
        metadata = {
            "name": name,
            "uid": self._writer.uid_generator.uid(),
            "creationTimestamp": now,
            "labels": {"kubernetes.io/hostname": name, TAINT: "true"},
        }
        spec = {"taints": [{"key": TAINT, "value": "true", "effect": "NoSchedule"}]}
        ready = {"type": "Ready", "status": "True"}
        ready |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
        ready |= {"reason": "KubeletReady", "message": "kubelet is posting ready status"}
        status = {
            "conditions": [ready],
            # Port 9 (discard): nothing listens there.
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 9}},
            "nodeInfo": {"kubeletVersion": VERSION["gitVersion"]},
        }
        self._store.put(resources.NODES, {"metadata": metadata, "spec": spec, "status": status})

    def _create_deployment(self, namespace: str, name: str, size: int, first: int) -> None:
        labels = {"app": name, "team": namespace}
        template: Object = {"metadata": {"labels": labels}, "spec": _pod_spec(name)}
        spec = {"replicas": size, "selector": {"matchLabels": {"app": name}}, "template": template}
        body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        deployment = self._writer.create(resources.DEPLOYMENTS, body, namespace)
        template = deployment.copy()["spec"]["template"]
        pod_hash = template_hash(template)
        labels = template["metadata"]["labels"] = {**labels, "pod-template-hash": pod_hash}
        metadata = {
            "name": f"{name}-{pod_hash}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [pod_control.owner_reference(deployment)],
        }
        spec = {"replicas": size, "selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": metadata, "spec": spec}
        replicaset = self._writer.create(resources.REPLICASETS, body, namespace)
        self._create_pods(namespace, replicaset, size, first)
        self._set_statuses(deployment, replicaset, size)

    def _set_statuses(self, deployment: Item, replicaset: Item, size: int) -> None:
        """Set the statuses that the controllers would set."""
        numbers = {"replicas": size, "readyReplicas": size, "availableReplicas": size}
        for item in (deployment, replicaset):
            body = item.copy()
            body["status"] = {**numbers, "observedGeneration": 1}
            self._store.put(item.resource, body)

    def _create_pods(self, namespace: str, owner: Item, size: int, first: int) -> None:
        """Create pods that differ in a few values only: encode one, then fill in the values."""
        pod = pod_control.pod_from_template(owner, owner.copy()["spec"]["template"])
        sample = self._writer.create(resources.PODS, pod, namespace, dry_run=True).copy()
        sample["metadata"] |= {"name": "@NAME@", "uid": "@UID@", "resourceVersion": "@VERSION@"}
        sample["spec"]["nodeName"] = "@NODE@"
        set_running(sample, "@IP@")
        if not self._managed:
            self._managed = managed_fields(sample)  # equal for all pods
        sample["metadata"]["managedFields"] = self._managed
        pieces = re.split(rb"(@[A-Z]+@)", encode({"metadata": sample["metadata"]} | sample))
        uid_generator = self._writer.uid_generator
        for number in range(first, first + size):
            address = f"10.{100 + number // 65536}.{number // 256 % 256}.{number % 256}"
            values = {
                b"@NAME@": f"{owner.name}-{uid_generator.suffix()}".encode(),
                b"@UID@": uid_generator.uid().encode(),
                b"@VERSION@": str(self._store.version + 1).encode(),
                b"@NODE@": f"{NODE_PREFIX}{number // PODS_PER_NODE}".encode(),
                b"@IP@": address.encode(),
            }
            raw = b"".join([values.get(piece, piece) for piece in pieces])
            self._store.put_raw(resources.PODS, raw)

    async def run(self) -> None:
        """Simulate the kubelets of the virtual nodes, and churn, until canceled."""
        if not self._store.get(resources.NODES, "", f"{NODE_PREFIX}0"):
            return
        unsubscribe = self._store.listen(resources.PODS, self._on_change)
        try:
            for item in self._store.all(resources.PODS):
                if item.node.startswith(NODE_PREFIX) and (item.deleting or _is_pending(item)):
                    self._schedule_sync(item)
            await self._run_churn()
        finally:
            unsubscribe()
            for timer in self._timers.values():
                timer.cancel()

    def _on_change(self, change: Change) -> None:
        item = change.item
        if not item.node.startswith(NODE_PREFIX) or change.type == "DELETED":
            return
        before = change.before
        if (before is None or not before.node) or (item.deleting and not before.deleting):
            self._schedule_sync(item)

    def _schedule_sync(self, item: Item) -> None:
        """Sync a pod after the reaction time of a kubelet."""
        if item.key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[item.key] = loop.call_later(
                _KUBELET_DELAY_S, self._sync_pod, item.namespace, item.name
            )

    def _sync_pod(self, namespace: str, name: str) -> None:
        """Start a new pod, or finish the deletion of a terminating one."""
        self._timers.pop(key_of(namespace, name), None)
        item = self._store.get(resources.PODS, namespace, name)
        if item is None:
            return
        if item.deleting:
            self._writer.delete(resources.PODS, namespace, name, {"gracePeriodSeconds": 0})
        elif _is_pending(item):
            pod = item.copy()
            octets = (self._random.randrange(256), self._random.randrange(1, 255))
            set_running(pod, f"10.199.{octets[0]}.{octets[1]}")
            pod["metadata"]["managedFields"] = managed_fields(pod)
            self._store.put(resources.PODS, pod)

    async def _run_churn(self) -> None:
        if self._churn <= 0:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        due = loop.time()
        table = self._store.tables[resources.PODS]
        while True:
            due += 1 / self._churn
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not table.keys:
                continue
            item = table.items[self._random.choice(table.keys)]
            if not item.node.startswith(NODE_PREFIX) or item.deleting:
                continue
            try:
                self._change_pod(item)
            except StatusError:
                continue  # the pod has changed meanwhile

    def _change_pod(self, item: Item) -> None:
        choice = self._random.random()
        if choice < 0.1:
            self._writer.delete(resources.PODS, item.namespace, item.name)
            return
        pod = item.copy()
        status = pod["status"]
        ready = any(
            c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
        )
        if not status.get("containerStatuses"):
            return
        container = status["containerStatuses"][0]
        if choice < 0.4:
            container["restartCount"] += 1
            container["containerID"] = f"containerd://{self._random.getrandbits(256):064x}"
            container["state"] = {"running": {"startedAt": timestamps.now()}}
        else:
            container["ready"] = not ready
            for kind in ("Ready", "ContainersReady"):
                if ready:
                    message = f"containers with unready status: [{container['name']}]"
                    set_pod_condition(status, kind, "False", "ContainersNotReady", message)
                else:
                    set_pod_condition(status, kind, "True")
        self._store.put(resources.PODS, pod)


def is_synthetic(namespace: str) -> bool:
    """Return whether a namespace holds synthetic pods."""
    return namespace.startswith(NAMESPACE_PREFIX)


def _is_pending(item: Item) -> bool:
    return item.fields["status.phase"] == "Pending"


def _pod_spec(name: str) -> Object:
    """Return a realistic pod specification: a sidecar, probes and many variables."""
    env = [
        {"name": f"SERVICE_SETTING_{number:02d}", "value": f"{name}-value-of-setting-{number:02d}"}
        for number in range(_ENVIRONMENT_SIZE)
    ]
    probe = {
        "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    ports = [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}]
    limits = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    main = {
        "name": "main",
        "image": f"registry.example/{name}:1.0",
        "ports": ports,
        "env": env,
        "resources": limits,
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/config", "readOnly": True},
            {"name": "cache", "mountPath": "/var/cache"},
        ],
    }
    sidecar = {
        "name": "sidecar",
        "image": "registry.example/proxy:2",
        "ports": [{"name": "admin", "containerPort": 15000}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    return {
        "containers": [main, sidecar],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{name}-config", "defaultMode": 420}},
            {"name": "cache", "emptyDir": {}},
        ],
        "nodeSelector": {TAINT: "true"},
        "tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}],
    }


def set_running(pod: Object, address: str) -> None:
    """Set the status that a kubelet reports for a running pod."""
    now = timestamps.now()
    status = pod["status"]
    kinds = "PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled"
    for kind in kinds.split():
        set_pod_condition(status, kind, "True")
    status |= {
        "phase": "Running",
        "hostIP": "192.0.2.10",
        "hostIPs": [{"ip": "192.0.2.10"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "containerStatuses": [
            {
                "name": container["name"],
                "state": {"running": {"startedAt": now}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": container["image"],
                "imageID": "sha256:" + "0" * 64,
                "containerID": "containerd://" + "0" * 64,
                "started": True,
            }
            for container in pod["spec"]["containers"]
        ],
    }
