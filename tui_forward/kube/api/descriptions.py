"""An object in words: facts, conditions and events. No I/O.

What is not a text or a number where one is expected is left out: an object of any kind can be
described.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.kube.api import api_types
from tui_forward.kube.api.details import event_time
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import ObjectCondition, ObjectEvent

_EVENTS = msgspec.json.Decoder(api_types.EventList)
_MAX_TEXT = 500
_MAX_LABELS = 30
_MAX_CONTAINERS = 50


class ObjectFacts(msgspec.Struct, frozen=True):
    """What an object says about itself."""

    facts: tuple[tuple[str, str], ...]
    conditions: tuple[ObjectCondition, ...]


def decode_events(body: bytes) -> tuple[ObjectEvent, ...]:
    """Decode a list of events, latest first."""
    events = [
        ObjectEvent(
            type=event.type,
            reason=event.reason,
            message=event.message,
            count=(event.series.count if event.series is not None else None) or event.count or 1,
            at=event_time(event),
        )
        for event in _EVENTS.decode(body).items or ()
    ]
    return tuple(sorted(events, key=lambda one: one.at, reverse=True))


def decode_object(body: bytes) -> ObjectFacts:
    """Decode the response to a GET of an object of any kind."""
    raw = msgspec.json.decode(body)
    if not isinstance(raw, dict):
        raise msgspec.DecodeError("not an object")
    facts = tuple((name, value[:_MAX_TEXT]) for name, value in _facts(raw) if value)
    return ObjectFacts(facts, tuple(_conditions(_table(raw, "status"))))


def _facts(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    metadata, spec, status = (_table(raw, name) for name in ("metadata", "spec", "status"))
    yield "created", _text(metadata, "creationTimestamp")
    yield "deleted", _text(metadata, "deletionTimestamp")
    for owner in _tables(metadata, "ownerReferences"):
        yield "owner", f"{_text(owner, 'kind')}/{_text(owner, 'name')}"
    labels = _table(metadata, "labels")
    for name in list(labels)[:_MAX_LABELS]:
        yield "label", f"{name}={_text(labels, name)}"
    if len(labels) > _MAX_LABELS:
        yield "label", f"… {len(labels) - _MAX_LABELS} more"
    yield "node", _text(spec, "nodeName")
    yield "pod IP", _text(status, "podIP")
    yield "service account", _text(spec, "serviceAccountName")
    yield "phase", _text(status, "phase")
    yield "reason", _text(status, "reason")
    yield "message", _text(status, "message")
    for name, fields in (
        ("replicas", ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")),
        ("pods", ("desiredNumberScheduled", "numberReady", "active", "succeeded", "failed")),
    ):
        counts = [f"{_words(one)} {status[one]}" for one in fields if _is_count(status, one)]
        yield name, ", ".join(counts)
    yield "type", _text(spec, "type")
    yield "cluster IP", _text(spec, "clusterIP")
    yield "external name", _text(spec, "externalName")
    for port in _tables(spec, "ports"):
        target = _text(port, "targetPort")
        yield "port", " ".join(
            part
            for part in (
                _text(port, "name"), f"{_text(port, 'port')}/{_text(port, 'protocol') or 'TCP'}",
                f"→ {target}" if target else "",
            )
            if part
        )  # fmt: skip
    yield from _containers(spec, status)


def _containers(spec: dict[str, Any], status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    template = _table(_table(spec, "template"), "spec")
    for title, group, states in (
        ("init container", "initContainers", "initContainerStatuses"),
        ("container", "containers", "containerStatuses"),
    ):
        statuses = {_text(one, "name"): one for one in _tables(status, states)}
        specs = [*_tables(spec, group), *_tables(template, group)]
        for container in specs[:_MAX_CONTAINERS]:
            name = _text(container, "name")
            state = _state(statuses.get(name, {}))
            yield title, " · ".join(filter(None, (name, _text(container, "image"), state)))


def _state(status: dict[str, Any]) -> str:
    parts = [_run(_table(status, "state"))]
    if _is_count(status, "restartCount") and status["restartCount"]:
        parts.append(pluralize(status["restartCount"], "restart"))
    if last := _run(_table(status, "lastState")):
        parts.append(f"before: {last}")
    return ", ".join(filter(None, parts))


def _run(state: dict[str, Any]) -> str:
    if "running" in state:
        return "running"
    waiting, ended = _table(state, "waiting"), _table(state, "terminated")
    if waiting:
        return ": ".join(filter(None, (_text(waiting, "reason"), _text(waiting, "message"))))
    if not ended:
        return ""
    code = f"exited with code {ended['exitCode']}" if _is_count(ended, "exitCode") else "exited"
    return f"{code} ({reason})" if (reason := _text(ended, "reason")) else code


def _conditions(status: dict[str, Any]) -> Iterator[ObjectCondition]:
    for one in _tables(status, "conditions"):
        since = _text(one, "lastTransitionTime")
        yield ObjectCondition(
            type=_text(one, "type"),
            status=_text(one, "status"),
            reason=_text(one, "reason"),
            message=_text(one, "message")[:_MAX_TEXT],
            since=parse_rfc3339(since),
        )


def _words(name: str) -> str:
    """Return `readyReplicas` as "ready"."""
    name = name.removesuffix("Replicas").removeprefix("number").removesuffix("NumberScheduled")
    return {"replicas": "total"}.get(name, name.lower())


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _tables(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = raw.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _is_count(raw: dict[str, Any], name: str) -> bool:
    return isinstance(raw.get(name), int) and not isinstance(raw[name], bool)
