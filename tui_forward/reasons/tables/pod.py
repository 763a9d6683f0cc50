"""Reasons of pods and their containers."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import DESCRIBE_HINT, LOGS, LOGS_HINT, RESTART_HINT, Entry

# `facts` are limit, exit code and restarts.
_CONTAINER: Final = "[container {container}|the container][ of pod {pod}]"
_INIT_CONTAINER: Final = "init container[ {container}][ of pod {pod}]"
_NEXT_START: Final = "[ ({facts})][: {detail}][; next start about {at}]"
_CONTAINER_OR_POD: Final = "[container {container} of pod {pod}|pod {pod}|the pod]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.POD_NOT_FOUND: Entry(
        "pod not found",
        "[pod {pod}|the pod] does not exist[ in namespace {namespace}]",
        "Check the name and the namespace; to survive replacement forward to its deployment "
        "or service",
        HopKind.POD,
    ),
    ReasonCode.POD_NO_SCHEDULER: Entry(
        "pod waits for a scheduler",
        "no scheduler has looked at [pod {pod}|the pod] yet",
        "Check that the scheduler of the cluster runs",
        HopKind.POD,
    ),
    ReasonCode.POD_SCHEDULING_GATED: Entry(
        "pod has a scheduling gate",
        "[pod {pod}|the pod] waits for [the scheduling gate {name}|a scheduling gate]",
        "Check the controller that removes this gate",
        HopKind.POD,
    ),
    ReasonCode.POD_NOT_SCHEDULED: Entry(
        "pod is not scheduled",
        "[pod {pod}|the pod] is not scheduled to a node[: {detail}]",
        DESCRIBE_HINT,
        HopKind.POD,
    ),
    ReasonCode.POD_CREATING: Entry(
        "pod is being created",
        "[pod {pod}|the pod] is still being created[: {detail}]",
        DESCRIBE_HINT,
        HopKind.POD,
    ),
    ReasonCode.POD_INIT_RUNNING: Entry(
        "init container still runs",
        f"{_INIT_CONTAINER} still runs[ ({{status}})][, since {{at}}]",
        LOGS_HINT,
        HopKind.POD,
    ),
    ReasonCode.POD_INIT_FAILING: Entry(
        "init fails[ · {restart_count}]",
        f"{_INIT_CONTAINER} fails{_NEXT_START}",
        LOGS_HINT,
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_IMAGE_PULL: Entry(
        "image cannot be pulled",
        "[pod {pod}|the pod] cannot pull [the image {image}|its image][: {detail}]",
        DESCRIBE_HINT,
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_CRASH_LOOPING: Entry(
        "[pod crash-loops · {restart_count}|container is down]",
        f"{_CONTAINER} is down{_NEXT_START}",
        LOGS_HINT,
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_UNSTABLE: Entry(
        "[pod crash-loops · {restart_count}|container crash-loops]",
        f"{_CONTAINER} crash-loops[ ({{facts}})]; it runs now[, and counts as ready at {{at}}]",
        LOGS_HINT,
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_OUT_OF_MEMORY: Entry(
        "out of memory[ · {restart_count}]",
        f"{_CONTAINER} ran out of memory{_NEXT_START}",
        f"Raise its memory limit, or check what it was doing: {LOGS}",
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_CONTAINER_ERROR: Entry(
        "container cannot be created",
        f"{_CONTAINER} cannot be created[: {{detail}}]",
        DESCRIBE_HINT,
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_START_ERROR: Entry(
        "cannot start[ · {restart_count}]",
        f"{_CONTAINER} cannot start its program{_NEXT_START}",
        "Check command, args and image of the container",
        HopKind.POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_NOT_READY: Entry(
        "pod is not ready",
        "[pod {pod}|the pod] is not Ready[: {cause}|: {detail}]",
        DESCRIBE_HINT,
        HopKind.POD,
    ),
    ReasonCode.POD_READINESS_GATE: Entry(
        "readiness gate is not set",
        "[pod {pod}|the pod] is not Ready: [readiness gate {name}|a readiness gate] is not set",
        "Check the controller that sets this condition",
        HopKind.POD,
    ),
    ReasonCode.POD_UNKNOWN: Entry(
        "pod state is unknown",
        "the state of [pod {pod}|the pod] is unknown: [node {node}|its node] does not report it",
        "Check the node: kubectl describe node [{node}|NODE]",
        HopKind.POD,
    ),
    ReasonCode.POD_NOT_RUNNING: Entry(
        "pod does not run", "[pod {pod}|the pod] does not run[: {detail}]", "", HopKind.POD
    ),
    ReasonCode.POD_COMPLETED: Entry(
        "pod has completed",
        f"{_CONTAINER_OR_POD} has completed; it will not run again",
        RESTART_HINT,
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_FAILED: Entry(
        "pod has failed[ (exit {exit_code})]",
        f"{_CONTAINER_OR_POD} has failed[: {{status}}][ ({{facts}})][: {{detail}}]; "
        "it will not run again",
        LOGS_HINT,
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_EVICTED: Entry(
        "pod was evicted",
        "[pod {pod}|the pod] was evicted[: {detail}]; it will not run again",
        RESTART_HINT,
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_DEADLINE_EXCEEDED: Entry(
        "pod exceeded its deadline",
        "[pod {pod}|the pod] has exceeded its deadline[: {detail}]; it will not run again",
        "Raise activeDeadlineSeconds, or start it again",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_TERMINATING: Entry(
        "pod is terminating",
        "[pod {pod}|the pod] is Terminating[ and serves until {at} at the latest]",
        "",
        HopKind.POD,
    ),
    ReasonCode.POD_ENDED: Entry(
        "pod has ended",
        "[pod {pod}|the pod] has ended[: {status}][ ({facts})][: {detail}]",
        "",
        HopKind.POD,
    ),
    ReasonCode.POD_DELETED: Entry("pod is gone", "[pod {pod}|the pod] is gone", "", HopKind.POD),
    ReasonCode.POD_AWAITING_REPLACEMENT: Entry(
        "[{cause}|pod is being replaced]",
        "waiting for its replacement[ by {owner}][: {cause}]",
        "",
        HopKind.POD,
    ),
    ReasonCode.POD_AWAITING_SAME_NAME: Entry(
        "waiting for the same pod", "waiting for one of the same name", "", HopKind.POD
    ),
    ReasonCode.POD_REPLACED: Entry(
        "pod replaced",
        "[pod {pod}|the pod] was replaced by [{successor}|a new one of the same name]",
        "",
        HopKind.POD,
    ),
    ReasonCode.POD_LOST: Entry(
        "tunnel reports pod as gone",
        "[pod {pod}|the pod] is Running, but its tunnel reported it as gone",
        "",
        HopKind.POD,
    ),
    ReasonCode.POD_UNUSABLE: Entry(
        "pod can no longer be used", "[pod {pod}|the pod] can no longer be used", "", HopKind.POD
    ),
    ReasonCode.POD_PORT_CHANGED: Entry(
        "container port changed", "the port of the container has changed[ to {port}]"
    ),
}
