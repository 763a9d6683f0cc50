"""Facts that the watched objects do not have: events of a pod, its node, the target's namespace.

They are read only while a target is in trouble that they may explain, seldom, and never waited for:
the resolution is published at once, and again when a fact is known. What the user may not read is
left out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from tui_forward.catalog.pod_reasons import shorten_end
from tui_forward.common.tasks import spawn
from tui_forward.errors import ApiError, TuiForwardError
from tui_forward.kube.api.resources import NAMESPACES
from tui_forward.kube.client import ClusterClient
from tui_forward.model import PodRef, Reason, ReasonCode, Resolution, Resolved

# An event follows the change that it explains, and objects change behind a trouble that lasts.
_READ_AFTER_S: Final = (0.0, 1.0, 3.0, 10.0, 30.0, 60.0)
_READ_EVERY_S: Final = 120.0
_MAX_READS: Final = 10_000  # two weeks
# A missing target ends some commands, so it waits this long for the first answer.
_FIRST_ANSWER_S: Final = 1.0
# Reasons of events, as the kubelet sets them.
_UNHEALTHY: Final = ("Unhealthy",)
_NOT_CREATED: Final = (
    "FailedAttachVolume",
    "FailedCreatePodContainer",
    "FailedCreatePodSandBox",
    "FailedMapVolume",
    "FailedMount",
    "FailedToRetrieveImagePullSecret",
    "NetworkNotReady",
)


class _Question(msgspec.Struct, frozen=True):
    """What is to be known about which object."""

    code: ReasonCode
    namespace: str
    pod: PodRef | None


class _Answer(msgspec.Struct, frozen=True):
    """A fact: a reason that takes the place of the other one, or a detail of it."""

    reason: Reason | None = None
    detail: str = ""
    source: str = ""  # reason of the event that has the detail


class EvidenceReader:
    """Completes the resolutions of one target.

    `on_change` is called when another fact is known, so that the target is resolved again.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._question: _Question | None = None
        self._answer: _Answer | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_unread = False

    @property
    def is_decisive(self) -> bool:
        """Whether the first answer is outstanding and may turn a refusal into another one."""
        question = self._question
        return (
            self._is_unread
            and question is not None
            and (question.code is ReasonCode.TARGET_NOT_FOUND)
        )

    def complete(self, resolution: Resolution, cluster: ClusterClient) -> Resolution:
        """Return a resolution with what is known about its trouble; reads more in the background.

        Never waits.
        """
        question = _question(resolution)
        if question != self._question:
            self.close()
            self._question = question
            self._is_unread = question is not None
            if question is not None:
                reading = self._read_repeatedly(question, cluster)
                self._task = spawn(reading, name=f"evidence: {question.code}")
        return resolution if self._answer is None else _with_answer(resolution, self._answer)

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if self._task is not None:
            self._task.cancel()
        self._task = self._question = self._answer = None
        self._is_unread = False

    async def _read_repeatedly(self, question: _Question, cluster: ClusterClient) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(_FIRST_ANSWER_S, self._end_first_read, question)
        try:
            for delay in (*_READ_AFTER_S, *itertools.repeat(_READ_EVERY_S, _MAX_READS)):
                await asyncio.sleep(delay)
                try:
                    answer = await _READERS[question.code](question, cluster)
                except ApiError as error:
                    if error.forbidden or error.not_found:
                        return
                except TuiForwardError:
                    pass  # the watches report it
                else:
                    self._set(answer)
                self._end_first_read(question)
        finally:
            deadline.cancel()
            self._end_first_read(question)

    def _end_first_read(self, question: _Question) -> None:
        if self._is_unread and question == self._question:
            self._is_unread = False
            self._on_change()

    def _set(self, answer: _Answer | None) -> None:
        before = self._answer
        if answer == before:
            return
        if answer is not None and before is not None and answer.source == before.source != "":
            return  # the same event with other ids and times in its text
        self._answer = answer
        self._on_change()


async def _read_namespace(question: _Question, cluster: ClusterClient) -> _Answer | None:
    try:
        await cluster.get(NAMESPACES, "", question.namespace)
    except ApiError as error:
        if not error.not_found:
            raise
        code = ReasonCode.TARGET_NAMESPACE_NOT_FOUND
        return _Answer(Reason(code=code, namespace=question.namespace))
    return None


async def _read_node(question: _Question, cluster: ClusterClient) -> _Answer | None:
    """Return that the node of the pod does not exist or is NotReady; None if it is Ready."""
    pod = question.pod
    if pod is None or not pod.node:
        return None
    try:
        node = await cluster.node(pod.node)
    except ApiError as error:
        if not error.not_found:
            raise
        code = ReasonCode.NODE_MISSING
        return _Answer(Reason(code=code, node=pod.node, pod=pod.name, namespace=pod.namespace))
    if node.ready is not False:
        return None
    return _Answer(
        Reason(
            code=ReasonCode.NODE_NOT_READY,
            node=node.name,
            pod=pod.name,
            at=node.not_ready_since or None,
            detail=node.trouble,
        )
    )


async def _read_not_ready(question: _Question, cluster: ClusterClient) -> _Answer | None:
    """Return the trouble of the node, else the probe that fails."""
    try:
        answer = await _read_node(question, cluster)
    except ApiError as error:
        if not error.forbidden:
            raise
        answer = None
    return answer or await _read_events(question, cluster, _UNHEALTHY)


async def _read_not_created(question: _Question, cluster: ClusterClient) -> _Answer | None:
    return await _read_events(question, cluster, _NOT_CREATED)


async def _read_events(
    question: _Question, cluster: ClusterClient, reasons: tuple[str, ...]
) -> _Answer | None:
    pod = question.pod
    if pod is None:
        return None
    events = await cluster.pod_warnings(pod.namespace, pod.name, pod.uid)
    latest = next((event for event in events if event.reason in reasons), None)
    if latest is None:
        return None
    return _Answer(detail=shorten_end(latest.message), source=latest.reason)


_READERS: Final[
    dict[ReasonCode, Callable[[_Question, ClusterClient], Awaitable[_Answer | None]]]
] = {
    ReasonCode.TARGET_NOT_FOUND: _read_namespace,
    ReasonCode.POD_CREATING: _read_not_created,
    ReasonCode.POD_NOT_READY: _read_not_ready,
    ReasonCode.POD_UNKNOWN: _read_node,
}


def _question(resolution: Resolution) -> _Question | None:
    found = _find_open(_reason_of(resolution))
    if found is None:
        return None
    return _Question(found.code, found.namespace, resolution.pod)


def _reason_of(resolution: Resolution) -> Reason | None:
    return resolution.caution if isinstance(resolution, Resolved) else resolution.reason


def _find_open(reason: Reason | None) -> Reason | None:
    """Return the reason, or the cause of it, that a fact may explain."""
    while reason is not None:
        if reason.code in _READERS and reason.cause is None and not reason.detail:
            return reason
        reason = reason.cause
    return None


def _with_answer(resolution: Resolution, answer: _Answer) -> Resolution:
    reason = _reason_of(resolution)
    if reason is None:
        return resolution
    completed = _completed(reason, _find_open(reason), answer)
    if isinstance(resolution, Resolved):
        return replace(resolution, caution=completed)
    return replace(resolution, reason=completed)


def _completed(reason: Reason, open_one: Reason | None, answer: _Answer) -> Reason:
    if reason is not open_one:
        cause = reason.cause
        return (
            reason if cause is None else replace(reason, cause=_completed(cause, open_one, answer))
        )
    if answer.reason is None:
        return replace(reason, detail=answer.detail)
    return replace(
        answer.reason,
        object=reason.object,
        ready=reason.ready,
        total=reason.total,
        previous=reason.previous,
    )
