"""Logs and descriptions of pods, services and workloads, with or without a forward."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from msgspec.structs import replace

from tui_forward.catalog.pod_reasons import why_unusable
from tui_forward.errors import ApiError, ForwardError, TuiForwardError
from tui_forward.kube.api.descriptions import ObjectFacts
from tui_forward.kube.api.details import PodDetails
from tui_forward.kube.api.log_text import later_lines, split_log_lines
from tui_forward.kube.api.resources import PODS, SERVICES, WORKLOADS, Resource
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    Description,
    LogSource,
    ObjectEvent,
    PodLog,
    Reason,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.reasons import reason_hint
from tui_forward.session.cluster_facts import find_candidates

_KINDS: Final = {
    TargetKind.POD: "Pod",
    TargetKind.SERVICE: "Service",
    TargetKind.DEPLOYMENT: "Deployment",
    TargetKind.STATEFULSET: "StatefulSet",
    TargetKind.DAEMONSET: "DaemonSet",
    TargetKind.REPLICASET: "ReplicaSet",
    TargetKind.REPLICATION_CONTROLLER: "ReplicationController",
    TargetKind.JOB: "Job",
}
MAX_LOG_BYTES: Final = 256 * 1024
MAX_LOG_LINES: Final = 5000


@dataclass(frozen=True, slots=True)
class _LogPod:
    """A pod whose log is read; `details` is None if the user may not read pods."""

    name: str
    details: PodDetails | None = None
    pods: tuple[str, ...] = ()


async def read_log(
    cluster: ClusterClient, source: LogSource, *, since: str = "", lines: int = 1000
) -> PodLog:
    """Return log lines; see `Session.read_log`."""
    namespace = source.target.namespace
    # What follows is a single request while a log is followed.
    is_known = bool(since and source.pod and source.container)
    pod = _LogPod(source.pod) if is_known else await _find_pod(cluster, source)
    container, down = source.container, None
    if pod.details is not None:
        down = why_unusable(pod.details.pod, source.port)
        # Of a container that is down, the API server returns the log of its latest run.
        faulty = down.container if down is not None else ""
        container = container or faulty or pod.details.container_of(source.port)
    lines = max(1, min(lines, MAX_LOG_LINES))
    try:
        body = await cluster.pod_log(
            namespace, pod.name, container=container, lines=lines, max_bytes=MAX_LOG_BYTES,
            previous=source.previous, since=since,
        )  # fmt: skip
    except ApiError as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        raise _without_log(error, source, pod.name, container, down) from error
    found = split_log_lines(body)
    return PodLog(
        pod=pod.name,
        container=container,
        containers=pod.details.containers if pod.details is not None else (),
        pods=pod.pods,
        previous=source.previous,
        state=_state(pod.details, container),
        lines=later_lines(found, since)[-lines:],
    )


def _without_log(
    error: ApiError, source: LogSource, pod: str, container: str, down: Reason | None
) -> ApiError:
    """Return why there is no log: the container has no earlier run, or none at all."""
    reason = error.reason
    if source.previous:
        text = f"container {container or 'of one run'} of pod {pod} has no previous run"
        reason = replace(reason, text=text, hint="Press p for the current one")
    elif down is not None:
        reason = replace(reason, hint=reason_hint(down))
    return ApiError(reason, status=error.status, status_reason=error.status_reason)


def _state(pod: PodDetails | None, container: str) -> str:
    """Return how the latest run of a container ended, if it does not run."""
    if pod is None:
        return ""
    for fault in pod.pod.faults:
        if fault.name == container:
            if fault.exit_code is not None:
                return f"exited with code {fault.exit_code}"
            return fault.waiting
    return ""


async def _find_pod(cluster: ClusterClient, source: LogSource) -> _LogPod:
    """Return the pod of a source; if it is gone or not given, the preferred one of its target.

    ForwardError: the target has no pod now.
    """
    target, name = source.target, source.pod
    is_pod = target.kind is TargetKind.POD
    if not name and is_pod:
        name = target.name
    details: PodDetails | None = None
    gone: ApiError | None = None
    if name:
        try:
            details = await cluster.pod_details(target.namespace, name)
        except ApiError as error:
            # Users who may not read pods may still read their logs.
            if error.forbidden:
                return _LogPod(name)
            if not error.not_found or is_pod:
                raise
            gone = error
    pods: tuple[str, ...] = (name,) if is_pod else ()
    if not is_pod:
        try:
            pods = tuple(pod.name for pod in await find_candidates(cluster, target))
        except ApiError:
            if details is None:
                raise
    if details is None:
        if not pods:
            raise gone or ForwardError(Reason(code=ReasonCode.TARGET_NO_POD, object=str(target)))
        details = await cluster.pod_details(target.namespace, pods[0])
    return _LogPod(details.pod.name, details, pods)


async def describe(cluster: ClusterClient, target: Target) -> Description:
    """Return facts, conditions and events of an object; see `Session.describe`."""
    if target.kind is TargetKind.SELECTOR:
        raise ForwardError(Reason(code=ReasonCode.TARGET_NO_POD, object=str(target)))
    resource, kind = _resource(target.kind), _KINDS[target.kind]
    found: ObjectFacts | BaseException
    events: tuple[ObjectEvent, ...] | BaseException
    found, events = await asyncio.gather(
        cluster.describe(resource, target.namespace, target.name),
        cluster.events_of(target.namespace, kind, target.name),
        return_exceptions=True,
    )
    # Users who may not read an object may still read its events, and the other way round.
    error = events_error = ""
    if isinstance(found, ApiError) and found.forbidden and not isinstance(events, BaseException):
        error = found.message
        found = ObjectFacts((), ())
    elif isinstance(found, BaseException):
        raise found
    if isinstance(events, TuiForwardError):
        events_error = events.message
        events = ()
    elif isinstance(events, BaseException):
        raise events
    return Description(
        kind=kind,
        namespace=target.namespace,
        name=target.name,
        error=error,
        facts=found.facts,
        conditions=found.conditions,
        events=events,
        events_error=events_error,
    )


def _resource(kind: TargetKind) -> Resource[Any]:
    if kind is TargetKind.POD:
        return PODS
    return SERVICES if kind is TargetKind.SERVICE else WORKLOADS[kind]
