"""Reasons of targets: the objects that forwards point at."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import RESTART_HINT, STARTS_WHEN_PRESENT, Entry

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.TARGET_RESOLVING: Entry("looking for a pod", "looking for [{object}|a pod]"),
    ReasonCode.TARGET_NOT_FOUND: Entry(
        "[{kind}|object] not found",
        'there is no [{kind}|object][ "{name}"][ in namespace {namespace}]',
        "Check the name and the namespace",
        HopKind.POD,
        BlockedBy.TARGET,
        automatic=STARTS_WHEN_PRESENT,
    ),
    ReasonCode.TARGET_NO_SELECTOR: Entry(
        "no selector",
        "[{object}|the target] has no selector, so it has no pods to forward to",
        "Forward to the pods or the host behind it instead",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NO_ENDPOINTS: Entry(
        "no endpoints",
        "[{object}|the service] has neither a selector nor endpoints",
        "Check its endpoint slices: kubectl get endpointslices[ -n {namespace}]"
        "[ -l kubernetes.io/service-name={name}]",
        HopKind.POD,
        BlockedBy.TARGET,
        automatic="the forward starts when there are some",
    ),
    ReasonCode.TARGET_ENDPOINTS_NOT_PODS: Entry(
        "endpoints are not pods",
        "[{object}|the service] has no selector, and its endpoints are no pods[: {detail}]",
        "Connect to these addresses directly; only pods can be forwarded to",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NAMESPACE_NOT_FOUND: Entry(
        "no namespace[ {namespace}| of that name]",
        "[namespace {namespace}|the namespace] does not exist",
        "Check the namespace and the context",
        HopKind.POD,
        BlockedBy.TARGET,
        automatic=STARTS_WHEN_PRESENT,
    ),
    ReasonCode.TARGET_EXTERNAL_NAME: Entry(
        "ExternalName without pods",
        "[{object}|the service] is the ExternalName[ {name}| of another host], "
        "so it has no pods to forward to",
        "Connect to [{name}|that host] instead",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_SCALED_TO_ZERO: Entry(
        "scaled to 0 replicas",
        "[{object}|the target] is scaled to 0 replicas",
        "Scale it up: kubectl scale[ -n {namespace}] [{object}|TARGET] --replicas=1",
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_SUSPENDED: Entry(
        "job is suspended",
        "[{object}|the job] is suspended",
        "Resume it: set spec.suspend to false",
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_COMPLETED: Entry(
        "job has completed",
        "[{object}|the job] has completed; nothing will run again",
        RESTART_HINT,
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_FAILED: Entry(
        "job has failed",
        "[{object}|the job] has failed[: {status}][ ({facts})][: {detail}]; nothing will run again",
        "Check the logs of its pods: kubectl logs[ -n {namespace}] [{object}|JOB]",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NOT_OBSERVED: Entry(
        "not seen by its controller",
        "no controller has seen [{object}|the target] yet",
        "Check that the controller manager of the cluster runs",
        HopKind.POD,
    ),
    ReasonCode.TARGET_PODS_NOT_CREATED: Entry(
        "pods cannot be created",
        "[{object}|the target] cannot create pods[: {detail}]",
        "Check quotas and admission: kubectl describe[ -n {namespace}] [{object}|TARGET]",
        HopKind.POD,
    ),
    ReasonCode.TARGET_NO_NODES: Entry(
        "runs on no node",
        "[{object}|the daemon set] runs on no node",
        "Check its node selector and tolerations: "
        "kubectl describe[ -n {namespace}] [{object}|TARGET]",
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_NO_PODS: Entry(
        "no pods yet", "[{object}|the target] has no pods yet", "", HopKind.POD
    ),
    ReasonCode.TARGET_NO_MATCHING_PODS: Entry(
        "no pod matches",
        "no pod[ in namespace {namespace}] matches [{object}|the selector][ ({detail})]",
        "",
        HopKind.POD,
    ),
    ReasonCode.TARGET_PODS_TERMINATING: Entry(
        "all pods are terminating",
        "all pods of [{object}|the target] are Terminating[ ({detail})]; "
        "waiting for their replacements",
        "",
        HopKind.POD,
    ),
    ReasonCode.TARGET_NO_POD: Entry(
        "no pod",
        "there is no pod behind [{object}|the target] now[: {detail}]",
        "Try again when the forward is ready",
        HopKind.POD,
    ),
}
