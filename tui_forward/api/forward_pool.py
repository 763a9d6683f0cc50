"""Forwards that are started once and shared until the end, for tests."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any, Final, NamedTuple

from tui_forward.api.active_forward import READY_TIMEOUT_S, ActiveForward
from tui_forward.api.port_forward import forward
from tui_forward.errors import ForwardError, NotReadyError, TuiForwardError
from tui_forward.model import Forward, ForwardState

# Codes of a cluster that does not answer: there is none, or it is not reached.
_UNAVAILABLE: Final = ("config.", "network.")
# How long a forward may stay in such a state at its start.
_ANSWER_S: Final = 5.0


class UnavailableError(Exception):
    """No cluster answers; `cause` is the error of the forward."""

    def __init__(self, cause: TuiForwardError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class _Started(NamedTuple):
    name: str
    active: ActiveForward
    since: float  # when the state was entered that it had after its start


class ForwardPool:
    """Starts forwards with common defaults; the same arguments give the same forward.

    A cluster that did not answer once is not asked again.
    """

    def __init__(self, *, kubeconfig: str | None, context: str, namespace: str) -> None:
        self._defaults: dict[str, Any] = {
            "kubeconfig": kubeconfig, "context": context, "namespace": namespace, "local_port": 0,
        }  # fmt: skip
        self._stack = contextlib.ExitStack()
        self._forwards: dict[tuple[object, ...], _Started] = {}
        self._unavailable: dict[tuple[object, ...], TuiForwardError] = {}

    def forward(self, target: str = "", port: int | str = "", **options: Any) -> ActiveForward:
        """Return a running forward that is ready, or was; arguments and errors: see `forward`.

        UnavailableError instead of an error that says that no cluster answers.
        """
        options = self._defaults | options
        key = (target, port, *sorted((name, repr(value)) for name, value in options.items()))
        if key not in self._forwards:
            cluster = (repr(options["kubeconfig"]), options["context"])
            if (known := self._unavailable.get(cluster)) is not None:
                raise UnavailableError(known)
            try:
                active = self._start(target, port, **options)
            except TuiForwardError as error:
                if error.code.startswith(_UNAVAILABLE):
                    self._unavailable[cluster] = error
                    raise UnavailableError(error) from error
                raise
            name = f"{target or options['selector']} {port}"
            self._forwards[key] = _Started(name, active, active.status.since)
        return self._forwards[key].active

    def _start(
        self, target: str, port: int | str, *, ready_timeout: float | None = READY_TIMEOUT_S,
        **options: Any,
    ) -> ActiveForward:  # fmt: skip
        """Start a forward; fail sooner than `ready_timeout` if no cluster answers."""
        deadline = None if ready_timeout is None else time.monotonic() + ready_timeout
        with contextlib.ExitStack() as stack:
            active = stack.enter_context(forward(target, port, ready_timeout=0, **options))
            while ready_timeout != 0:
                left_s = math.inf if deadline is None else deadline - time.monotonic()
                try:
                    active.wait_ready(max(0.0, min(_ANSWER_S, left_s)))
                    break
                except NotReadyError as error:
                    if error.code.startswith(_UNAVAILABLE) or left_s <= _ANSWER_S:
                        raise
            self._stack.push(stack.pop_all())
        return active

    def problems(self, *, since: float) -> list[str]:
        """Return a line about each forward that is broken now, or was after a time."""
        return [line for one in self._forwards.values() if (line := _problem(one, since))]

    def close(self) -> None:
        """Stop all forwards."""
        self._forwards.clear()
        self._stack.close()


def _problem(started: _Started, since: float) -> str:
    """Return what is wrong with a forward; empty if it is ready and was."""
    where = f"{started.name} on {started.active.host}:{started.active.port}"
    try:
        status = started.active.status
    except ForwardError as error:
        return f"{where}: {error.message}"
    hint = f" ({status.hint})" if status.hint else ""
    if status.state is not ForwardState.READY:
        return f"{where}: {status.state}: {status.reason}{hint}"
    if status.warnings:
        return f"{where}: ready, but {status.reason}{hint}"
    if status.since >= since and status.since != started.since:
        return f"{where}: ready again since the test began{_last_event(status)}"
    if status.failed_at is not None and status.failed_at >= since:
        return f"{where}: a connection failed during the test{_last_event(status)}"
    return ""


def _last_event(status: Forward) -> str:
    return f": {status.last_event}" if status.last_event else ""
