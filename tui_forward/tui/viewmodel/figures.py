"""Limits figures of the engine to what a screen can show. Pure.

An engine that was restarted, a clock that was set back, or a bug may produce figures that make
no sense. Counts and durations are limited to `0..MAX_COUNT`, times to `0..now`, and the times of
next attempts to `0..now + MAX_DELAY_S`; what is not a number becomes 0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from tui_forward.model import TrafficHistory

MAX_COUNT = 10**18  # an exabyte, or 30 billion years
MAX_DELAY_S = 86400.0

_TIMES = frozenset({
    "at", "closed_at", "created_at", "expired_at", "failed_at", "opened_at", "ready_since",
    "restarted_at", "since", "started_at", "time",
})  # fmt: skip
_FUTURE_TIMES = frozenset({"retry_at"})
_ANY_TIMES = frozenset({"credentials_end_at"})  # of a certificate, years from now
# Numbers that identify something and are only shown as they are.
_IDENTITIES = frozenset({
    "id", "local_port", "number", "port", "remote_port", "sequence", "version",
})  # fmt: skip

S = TypeVar("S", bound=msgspec.Struct)


class _Fields(msgspec.Struct, frozen=True):
    """Names of the fields of a struct that hold figures."""

    counts: tuple[str, ...]
    times: tuple[str, ...]
    future_times: tuple[str, ...]
    nested: tuple[str, ...]  # structs, and tuples with structs, that hold figures

    @property
    def any(self) -> bool:
        return bool(self.counts or self.times or self.future_times or self.nested)


def limit_figures(struct: S, now: float) -> S:
    """Return a struct whose figures are within the limits: the same one if they are already."""
    fields = _fields(type(struct))
    changes: dict[str, object] = {}
    for names, maximum in (
        (fields.counts, MAX_COUNT), (fields.times, now), (fields.future_times, now + MAX_DELAY_S),
    ):  # fmt: skip
        for name in names:
            value = getattr(struct, name)
            if value is not None and not 0 <= value <= maximum:
                changes[name] = _limit(value, maximum)
    for name in fields.nested:
        value = getattr(struct, name)
        limited = _limit_value(value, now)
        if limited is not value:
            changes[name] = limited
    return msgspec.structs.replace(struct, **changes) if changes else struct


def limit_all(structs: tuple[S, ...], now: float) -> tuple[S, ...]:
    """Return structs whose figures are within the limits: the same ones if they are already."""
    limited = tuple([limit_figures(one, now) for one in structs])
    return limited if any(map(_differs, limited, structs)) else structs


def limit_histories(histories: Sequence[TrafficHistory]) -> tuple[TrafficHistory, ...]:
    """Return traffic histories whose amounts are within the limits."""
    return tuple(
        TrafficHistory(
            forward_id=one.forward_id,
            seconds=tuple(
                (_limit(down, MAX_COUNT), _limit(up, MAX_COUNT)) for down, up in one.seconds
            ),
            ready=one.ready,
        )
        for one in histories
    )


def _limit_value(value: object, now: float) -> object:
    """Return a struct, or the structs of a tuple, within the limits; anything else as it is."""
    if isinstance(value, tuple):
        limited = tuple([_limit_value(one, now) for one in value])
        return limited if any(map(_differs, limited, value)) else value
    return limit_figures(value, now) if isinstance(value, msgspec.Struct) else value


def _limit(value: Any, maximum: float) -> Any:
    """Return a number within 0..maximum, of the same type."""
    return type(value)(maximum) if value > maximum else type(value)(0) if not value > 0 else value


def _differs(one: object, other: object) -> bool:
    return one is not other


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> _Fields:
    counts: list[str] = []
    times: list[str] = []
    future_times: list[str] = []
    nested: list[str] = []
    for field in msgspec.structs.fields(kind):
        if field.name in _IDENTITIES:
            continue
        types = set(_member_types(field.type))
        if types & {int, float}:
            future = future_times if field.name in _FUTURE_TIMES else counts
            if field.name in _ANY_TIMES:
                continue
            (times if field.name in _TIMES else future).append(field.name)
        elif any(_is_struct(one) and _fields(one).any for one in types if one is not kind):
            nested.append(field.name)
    return _Fields(tuple(counts), tuple(times), tuple(future_times), tuple(nested))


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _member_types(annotation: Any) -> Iterator[Any]:
    """Yield the types of a union, and those of the items of a tuple."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict or not arguments:
        yield annotation
        return
    for one in arguments:
        if one is not Ellipsis and not (origin is tuple and one in (int, float)):
            yield from _member_types(one)
