"""Generated pods: thousands of realistic objects without anything behind them.

They live in namespaces of their own, belong to Deployments and ReplicaSets, and are assigned to
virtual nodes whose kubelet nobody runs: a port-forward to them is refused by the dial. What a
kubelet would report is reported here, and with a churn rate pods restart, lose and regain
readiness, and are deleted and replaced.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver import timestamps as timestamps
from tui_forward.minicluster.apiserver.create_update_delete import ObjectWriter, set_condition
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change, Item, Store, encode, key_of
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers import pod_control

Object = dict[str, Any]

PODS_PER_DEPLOYMENT = 20
DEPLOYMENTS_PER_NAMESPACE = 10
PODS_PER_NODE = 500
TAINT = "minicluster.local/virtual"
NODE_PREFIX = "virtual-"
NAMESPACE_PREFIX = "team-"
_ENVIRONMENT = 60
_REACTION_S = 0.05


class SyntheticPods:
    """Makes the generated pods, and plays their kubelets."""

    def __init__(self, config: ApiServerConfig, store: Store, writer: ObjectWriter) -> None:
        self._count = config.pods
        self._churn = config.churn
        self._store = store
        self._writer = writer
        self._random = random.Random(config.seed)
        self._managed: list[Object] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # -- objects -------------------------------------------------------------------------------

    def populate(self) -> None:
        """Create nodes, namespaces, Deployments, ReplicaSets and pods, all in their final state."""
        if not self._count:
            return
        with self._store.bulk():
            self._everything()

    def _everything(self) -> None:
        for number in range((self._count + PODS_PER_NODE - 1) // PODS_PER_NODE):
            self._node(f"{NODE_PREFIX}{number}")
        left, number = self._count, 0
        while left:
            namespace = f"{NAMESPACE_PREFIX}{number // DEPLOYMENTS_PER_NAMESPACE:02d}"
            if number % DEPLOYMENTS_PER_NAMESPACE == 0:
                self._writer.add(resources.NAMESPACES, {"metadata": {"name": namespace}}, "")
            size = min(left, PODS_PER_DEPLOYMENT)
            self._deployment(namespace, f"svc{number:04d}", size, self._count - left)
            left -= size
            number += 1

    def _node(self, name: str) -> None:
        now = timestamps.now()
        self._store.put(
            resources.NODES,
            {
                "metadata": {
                    "name": name,
                    "uid": self._writer.identities.uid(),
                    "creationTimestamp": now,
                    "labels": {"kubernetes.io/hostname": name, TAINT: "true"},
                },
                "spec": {"taints": [{"key": TAINT, "value": "true", "effect": "NoSchedule"}]},
                "status": {
                    "conditions": [
                        {
                            "type": "Ready",
                            "status": "True",
                            "lastHeartbeatTime": now,
                            "lastTransitionTime": now,
                            "reason": "KubeletReady",
                            "message": "kubelet is posting ready status",
                        }
                    ],
                    # Port 9 is "discard": nobody listens there.
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 9}},
                    "nodeInfo": {"kubeletVersion": resources.VERSION["gitVersion"]},
                },
            },
        )

    def _deployment(self, namespace: str, name: str, size: int, first: int) -> None:
        labels = {"app": name, "team": namespace}
        deployment = self._writer.add(
            resources.DEPLOYMENTS,
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "replicas": size,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": labels}, "spec": _pod_spec(name)},
                },
            },
            namespace,
        )
        spec = deployment.copy()["spec"]
        digest = template_hash(spec["template"])
        template = spec["template"]
        template["metadata"]["labels"] = {**labels, "pod-template-hash": digest}
        replicaset = self._writer.add(
            resources.REPLICASETS,
            {
                "metadata": {
                    "name": f"{name}-{digest}",
                    "labels": template["metadata"]["labels"],
                    "annotations": {"deployment.kubernetes.io/revision": "1"},
                    "ownerReferences": [pod_control.reference(deployment)],
                },
                "spec": {
                    "replicas": size,
                    "selector": {"matchLabels": template["metadata"]["labels"]},
                    "template": template,
                },
            },
            namespace,
        )
        self._pods(namespace, replicaset, size, first)
        self._report(deployment, replicaset, size)

    def _report(self, deployment: Item, replicaset: Item, size: int) -> None:
        """The statuses the controllers would find, so that they have nothing to do."""
        numbers = {"replicas": size, "readyReplicas": size, "availableReplicas": size}
        for item in (deployment, replicaset):
            body = item.copy()
            body["status"] = {**numbers, "observedGeneration": 1}
            self._store.put(item.resource, body)

    def _pods(self, namespace: str, owner: Item, size: int, first: int) -> None:
        """Pods that differ only in a few words: encoded once, then filled in."""
        pod = pod_control.from_template(owner, owner.copy()["spec"]["template"])
        pod["metadata"]["generateName"] = f"{owner.name}-"
        sample = self._writer.add(resources.PODS, pod, namespace, dry=True).copy()
        sample["metadata"] |= {"name": "@NAME@", "uid": "@UID@", "resourceVersion": "@VERSION@"}
        sample["spec"]["nodeName"] = "@NODE@"
        running(sample, "@IP@")
        if not self._managed:
            self._managed = managed_fields(sample)  # the same for all of them
        sample["metadata"]["managedFields"] = self._managed
        # The text between the words that differ, and which word follows each piece.
        pieces = re.split(rb"(@[A-Z]+@)", encode({"metadata": sample["metadata"]} | sample))
        identities = self._writer.identities
        for number in range(first, first + size):
            address = f"10.{100 + number // 65536}.{number // 256 % 256}.{number % 256}"
            words = {
                b"@NAME@": f"{owner.name}-{identities.suffix()}".encode(),
                b"@UID@": identities.uid().encode(),
                b"@VERSION@": str(self._store.version + 1).encode(),
                b"@NODE@": f"{NODE_PREFIX}{number // PODS_PER_NODE}".encode(),
                b"@IP@": address.encode(),
            }
            raw = b"".join([words.get(piece, piece) for piece in pieces])
            self._store.put_raw(resources.PODS, raw)

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Play the kubelets of the virtual nodes, and stir, until cancelled."""
        if not self._store.get(resources.NODES, "", f"{NODE_PREFIX}0"):
            return
        stop = self._store.listen(resources.PODS, self._changed)
        try:
            for item in self._store.all(resources.PODS):
                if item.node.startswith(NODE_PREFIX) and (item.deleting or _pending(item)):
                    self._soon(item)
            await self._stir()
        finally:
            stop()
            for timer in self._timers.values():
                timer.cancel()

    def _changed(self, change: Change) -> None:
        item = change.item
        if not item.node.startswith(NODE_PREFIX) or change.type == "DELETED":
            return
        before = change.before
        if (before is None or not before.node) or (item.deleting and not before.deleting):
            self._soon(item)

    def _soon(self, item: Item) -> None:
        """Attend to a pod after the time a kubelet takes."""
        if item.key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[item.key] = loop.call_later(
                _REACTION_S, self._attend, item.namespace, item.name
            )

    def _attend(self, namespace: str, name: str) -> None:
        """Start a pod that is new, finish one that is to end."""
        self._timers.pop(key_of(namespace, name), None)
        item = self._store.get(resources.PODS, namespace, name)
        if item is None:
            return
        if item.deleting:
            self._writer.end(resources.PODS, namespace, name, {"gracePeriodSeconds": 0})
        elif _pending(item):
            pod = item.copy()
            octets = (self._random.randrange(256), self._random.randrange(1, 255))
            running(pod, f"10.199.{octets[0]}.{octets[1]}")
            pod["metadata"]["managedFields"] = managed_fields(pod)
            self._store.put(resources.PODS, pod)

    async def _stir(self) -> None:
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
                self._disturb(item)
            except StatusError:
                continue  # somebody else was quicker

    def _disturb(self, item: Item) -> None:
        dice = self._random.random()
        if dice < 0.1:
            self._writer.end(resources.PODS, item.namespace, item.name)
            return
        pod = item.copy()
        status = pod["status"]
        ready = any(
            c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
        )
        if not status.get("containerStatuses"):
            return
        container = status["containerStatuses"][0]
        if dice < 0.4:
            container["restartCount"] += 1
            container["containerID"] = f"containerd://{self._random.getrandbits(256):064x}"
            container["state"] = {"running": {"startedAt": timestamps.now()}}
        else:
            container["ready"] = not ready
            for kind in ("Ready", "ContainersReady"):
                if ready:
                    message = f"containers with unready status: [{container['name']}]"
                    set_condition(status, kind, "False", "ContainersNotReady", message)
                else:
                    set_condition(status, kind, "True")
        self._store.put(resources.PODS, pod)


def is_generated(namespace: str) -> bool:
    """Whether a namespace holds generated pods."""
    return namespace.startswith(NAMESPACE_PREFIX)


def _pending(item: Item) -> bool:
    return item.fields["status.phase"] == "Pending"


def _pod_spec(name: str) -> Object:
    """A pod as people really write them: a sidecar, probes and far too many variables."""
    env = [
        {"name": f"SERVICE_SETTING_{number:02d}", "value": f"{name}-value-of-setting-{number:02d}"}
        for number in range(_ENVIRONMENT)
    ]
    probe = {
        "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    return {
        "containers": [
            {
                "name": "main",
                "image": f"registry.example/{name}:1.0",
                "ports": [
                    {"name": "http", "containerPort": 8080},
                    {"name": "metrics", "containerPort": 9090},
                ],
                "env": env,
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"memory": "256Mi"},
                },
                "livenessProbe": probe,
                "readinessProbe": probe,
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/config", "readOnly": True},
                    {"name": "cache", "mountPath": "/var/cache"},
                ],
            },
            {
                "name": "sidecar",
                "image": "registry.example/proxy:2",
                "ports": [{"name": "admin", "containerPort": 15000}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            },
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{name}-config", "defaultMode": 420}},
            {"name": "cache", "emptyDir": {}},
        ],
        "nodeSelector": {TAINT: "true"},
        "tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}],
    }


def running(pod: Object, address: str) -> None:
    """Report a pod as a kubelet reports one that runs."""
    now = timestamps.now()
    status = pod["status"]
    for kind in (
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ):
        set_condition(status, kind, "True")
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


def managed_fields(pod: Object) -> list[Object]:
    """The `managedFields` of a pod: who set which field; half of a real pod's bytes."""
    metadata, spec = pod["metadata"], pod["spec"]
    now = timestamps.now()
    owned = {
        "f:metadata": _fields(
            {k: metadata[k] for k in ("generateName", "labels") if k in metadata}
        ),
        "f:spec": _fields(
            {k: v for k, v in spec.items() if k not in ("nodeName", "tolerations", "priority")}
        ),
    }
    status = {key: value for key, value in pod["status"].items() if key != "qosClass"}
    shared: Object = {"operation": "Update", "apiVersion": "v1", "time": now}
    shared["fieldsType"] = "FieldsV1"
    return [
        {"manager": "kube-controller-manager", **shared, "fieldsV1": owned},
        {
            "manager": "kubelet",
            **shared,
            "fieldsV1": {"f:status": _fields(status)},
            "subresource": "status",
        },
    ]


_LIST_KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
}


def _fields(value: Object) -> Object:
    fields: Object = {}
    for key, each in value.items():
        if isinstance(each, dict):
            fields[f"f:{key}"] = {".": {}, **_fields(each)} if each else {}
        elif isinstance(each, list) and key in _LIST_KEYS:
            inner: Object = {".": {}}
            for element in each:
                if isinstance(element, dict):
                    name = {part: element.get(part) for part in _LIST_KEYS[key]}
                    inner[f"k:{encode(name).decode()}"] = {".": {}, **_fields(element)}
            fields[f"f:{key}"] = inner
        else:
            fields[f"f:{key}"] = {}
    return fields
