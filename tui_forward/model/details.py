"""Log lines of a container, and an object in words."""

from __future__ import annotations

import msgspec

from tui_forward.model.specs import Target


class LogSource(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log to read."""

    target: Target  # a pod, or what has pods; its port does not matter
    pod: str = ""  # one of its pods; empty for the preferred one
    container: str = ""  # empty for the one that is down, else that declares `port`, else the first
    port: int | None = None
    previous: bool = False  # the run before the last start of the container
    forward: str = ""  # id of a forward in whose environment it is read; empty for the caller's


class PodLog(msgspec.Struct, frozen=True, kw_only=True):
    """Log lines of a container."""

    pod: str
    container: str
    containers: tuple[str, ...] = ()  # all of the pod that have logs; empty if that is not known
    pods: tuple[str, ...] = ()  # all of the target, the preferred one first
    previous: bool = False
    state: str = ""  # of the container, if it does not run ("exited with code 1")
    # Time (RFC 3339; empty if the server sent none) and text without line end, oldest first.
    lines: tuple[tuple[str, str], ...] = ()


class ObjectCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of an object's status."""

    type: str
    status: str  # "True", "False", "Unknown"
    reason: str = ""
    message: str = ""
    since: float = 0.0


class ObjectEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event about an object."""

    type: str  # "Normal", "Warning"
    reason: str
    message: str
    count: int = 1
    at: float = 0.0  # the latest of its occurrences


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An object in words."""

    kind: str  # "Pod", "Deployment"
    namespace: str
    name: str
    error: str = ""  # why facts and conditions are not known
    facts: tuple[tuple[str, str], ...] = ()  # name and value
    conditions: tuple[ObjectCondition, ...] = ()
    events: tuple[ObjectEvent, ...] = ()  # latest first
    events_error: str = ""  # why the events are not known
