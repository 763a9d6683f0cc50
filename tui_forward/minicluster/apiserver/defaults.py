"""Defaults of written objects: identity, specification, initial status."""

from __future__ import annotations

import hashlib

import msgspec

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.service_addresses import complete_service
from tui_forward.minicluster.apiserver.status_errors import invalid
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.uid_generator import ALPHABET, UidGenerator


def template_hash(template: Object) -> str:
    """Return the `pod-template-hash` of a pod template."""
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).digest()
    number = int.from_bytes(digest[:6], "big")
    letters = ""
    while number:
        number, index = divmod(number, len(ALPHABET))
        letters += ALPHABET[index]
    return letters[:10]


def complete_new(
    store: Store, resource: Resource, item: Object, namespace: str, uid_generator: UidGenerator
) -> None:
    """Complete a new object in place: identity, defaults and initial status."""
    metadata = item.setdefault("metadata", {})
    if not metadata.get("name"):
        prefix = metadata.get("generateName")
        if not prefix:
            cause = "Required value: name or generateName is required"
            raise invalid(resource.kind, "", "metadata.name", cause, resource.group)
        while True:
            metadata["name"] = prefix + uid_generator.suffix()
            if store.get(resource, namespace, metadata["name"]) is None:
                break
    if resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = uid_generator.uid()
    metadata["creationTimestamp"] = timestamps.now()
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"):
        metadata.pop(name, None)
    complete_spec(store, resource, item, None, uid_generator)
    if resource.has_status and (resource.group or resource is resources.PODS):
        metadata["generation"] = 1
    if resource is resources.PODS:
        item["status"] = {"phase": "Pending", "qosClass": _qos_class(item["spec"])}
    elif resource is resources.NAMESPACES:
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
        item["spec"] = {"finalizers": ["kubernetes"]}
        item["status"] = {"phase": "Active"}
    elif resource is resources.SERVICES:
        item["status"] = {"loadBalancer": {}}
    elif resource.group and resource.has_status:
        item["status"] = {}


def complete_spec(
    store: Store,
    resource: Resource,
    item: Object,
    before: Object | None,
    uid_generator: UidGenerator,
) -> None:
    """Set the defaults of a new or changed specification in place.

    `before` is the replaced version; None for a new object. Raises `StatusError`: 422.
    """
    if resource is resources.PODS:
        _complete_pod_spec(item.setdefault("spec", {}), in_template=False)
    elif resource is resources.SERVICES:
        complete_service(store, item, before, uid_generator)
    elif resource.group in ("apps", "batch"):
        _complete_workload(resource, item)


def _complete_pod_spec(spec: Object, *, in_template: bool) -> None:
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            container.setdefault("resources", {})
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
            container.setdefault("imagePullPolicy", "IfNotPresent")
            for port in container.get("ports") or ():
                port.setdefault("protocol", "TCP")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if in_template:
        return
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("automountServiceAccountToken", False)
    tolerated = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    keys = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    spec.setdefault("tolerations", [{"key": key, **tolerated} for key in keys])
    spec.setdefault("priority", 0)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _qos_class(spec: Object) -> str:
    requirements = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(each.get("requests") or each.get("limits") for each in requirements):
        return "BestEffort"
    guaranteed = all(
        each.get("limits") and each["limits"] == each.get("requests", each["limits"])
        for each in requirements
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _complete_workload(resource: Resource, item: Object) -> None:
    spec = item.setdefault("spec", {})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {}).pop("creationTimestamp", None)
    _complete_pod_spec(template.setdefault("spec", {}), in_template=True)
    if resource is resources.JOBS:
        if template["spec"]["restartPolicy"] != "OnFailure":
            template["spec"]["restartPolicy"] = "Never"
        spec.setdefault("parallelism", 1)
        spec.setdefault("completions", 1)
        spec.setdefault("backoffLimit", 6)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        uid = item["metadata"].get("uid", "")
        labels = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": item["metadata"]["name"],
            "controller-uid": uid,
            "job-name": item["metadata"]["name"],
        }
        template["metadata"].setdefault("labels", {}).update(labels)
        spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
        return
    if resource is resources.DAEMONSETS:
        spec.setdefault("updateStrategy", _rolling_update(maxSurge=0, maxUnavailable=1))
        spec.setdefault("revisionHistoryLimit", 10)
        return
    spec.setdefault("replicas", 1)
    if resource is resources.DEPLOYMENTS:
        spec.setdefault("strategy", _rolling_update(maxUnavailable="25%", maxSurge="25%"))
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
    elif resource is resources.STATEFULSETS:
        spec.setdefault("podManagementPolicy", "OrderedReady")
        spec.setdefault("updateStrategy", _rolling_update(partition=0))
        spec.setdefault("revisionHistoryLimit", 10)
        retention = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        spec.setdefault("persistentVolumeClaimRetentionPolicy", retention)


def _rolling_update(**limits: int | str) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": limits}
