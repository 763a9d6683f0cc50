"""Starts, stops and changes forwards, and restores stopped ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.errors import TuiForwardError
from tui_forward.model import CatalogScope, Forward, ForwardDefaults, ForwardSpec
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.session import Session
from tui_forward.session.batch import STOP_TIMEOUT_S, run_batch, stop_forwards
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import ANSWER_TIMEOUT_S
from tui_forward.tui.messages import (
    CloseConnectionsRequested,
    ForwardAction,
    ForwardActionRequested,
    ForwardPortsRequested,
)
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import forward_on, target_of
from tui_forward.tui.viewmodel.rows import local_text, target_text

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand

_MAX_UNDO = 50


class ForwardController:
    """Carries out requests about forwards and their connections."""

    def __init__(
        self, session: Session, sampler: Sampler, queue: CommandQueue, favorites: Favorites,
        notifier: Notifier, defaults: Callable[[], ForwardDefaults],
    ) -> None:  # fmt: skip
        self._session = session
        self._sampler = sampler
        self._queue = queue
        self._favorites = favorites
        self._notifier = notifier
        self._defaults = defaults
        self._undo: list[tuple[ForwardSpec, ...]] = []

    def forward_ports(self, request: ForwardPortsRequested, scope: CatalogScope) -> None:
        """Start the forwards of ports; stop running ones if the request toggles."""
        command = partial(self._forward_ports, request, scope, self._defaults())
        self._queue.enqueue(command, is_batch=True)

    async def _forward_ports(
        self, request: ForwardPortsRequested, scope: CatalogScope, defaults: ForwardDefaults
    ) -> None:
        to_stop: list[Forward] = []
        to_start: list[tuple[Entry, ForwardSpec]] = []
        for entry, port in request.ports:
            forward = forward_on(self._sampler.snapshot.forwards, scope, entry, port)
            if forward is None:
                to_start.append((entry, defaults.spec(target_of(scope, entry, port))))
            elif request.toggle:
                to_stop.append(forward)
        self.push_undo(await self._stop_forwards(to_stop))
        result = await run_batch(
            lambda one: self._session.start(one[1]), to_start,
            timeout_s=ANSWER_TIMEOUT_S, parallel=1,
        )  # fmt: skip
        self._notify_failure(result.failure("start", "forward"))
        for entry, _ in result.done:
            self._favorites.record_use(scope.context, entry.key)

    def run_action(self, request: ForwardActionRequested) -> None:
        """Stop, pause, resume or reconnect forwards."""
        if request.action is ForwardAction.STOP:
            self.stop(request.forward_ids)
        else:
            command = partial(self._pause_or_reconnect, request.forward_ids, request.action)
            self._queue.enqueue(command, is_batch=True)

    async def _pause_or_reconnect(self, forward_ids: Sequence[str], action: ForwardAction) -> None:
        async def run(forward: Forward) -> None:
            if action is ForwardAction.RECONNECT:
                await self._session.reconnect(forward.id)
            elif forward.paused:
                await self._session.resume(forward.id)
            else:
                await self._session.pause(forward.id)

        forwards = self._sampler.forwards(forward_ids)
        result = await run_batch(run, forwards, timeout_s=STOP_TIMEOUT_S)
        self._notify_failure(result.failure("change", "forward"))

    def close_connections(self, request: CloseConnectionsRequested) -> None:
        """Close connections."""
        command = partial(self._close_connections, request.connection_ids)
        self._queue.enqueue(command, is_batch=True)

    async def _close_connections(self, connection_ids: Sequence[int]) -> None:
        result = await run_batch(
            self._session.close_connection, connection_ids, timeout_s=ANSWER_TIMEOUT_S
        )
        self._notify_failure(result.failure("close", "connection"))

    def start(self, specs: Sequence[ForwardSpec], result: str = "started") -> None:
        """Start forwards and report them; the notification ends with `result`."""
        self._queue.enqueue(partial(self._start, specs, result), is_batch=True)

    async def _start(self, specs: Sequence[ForwardSpec], result: str) -> None:
        await self._start_forwards(specs, result)

    async def _start_forwards(
        self, specs: Sequence[ForwardSpec], result: str
    ) -> tuple[ForwardSpec, ...]:
        """Start forwards in order and report them; return those that could not be started."""
        batch = await run_batch(self._session.start, specs, timeout_s=ANSWER_TIMEOUT_S, parallel=1)
        self._notify_failure(batch.failure("start", "forward"))
        if batch.done:
            is_one = len(batch.done) == 1
            what = str(batch.done[0].target) if is_one else pluralize(len(batch.done), "forward")
            self._notifier.info(f"{what} {result}")
        return tuple(spec for spec, _ in batch.failed)

    def replace(self, forward: Forward, spec: ForwardSpec) -> None:
        """Restart a forward with another spec, on its local port unless the spec names one."""
        self._queue.enqueue(partial(self._replace, forward, spec), is_batch=True)

    async def _replace(self, forward: Forward, spec: ForwardSpec) -> None:
        if (await stop_forwards(self._session, [forward])).failed:
            self._notifier.warn(f"{target_text(forward)} did not stop, and was not changed.")
            return
        self.push_undo([forward])
        if spec.local_port is None and forward.listening:
            spec = msgspec.structs.replace(spec, local_port=forward.listening[0].port)
        await self._start((spec,), "changed")

    def stop(self, forward_ids: Sequence[str]) -> None:
        """Stop forwards; `undo` restores them."""
        self._queue.enqueue(partial(self._stop, forward_ids), is_batch=True)

    async def _stop(self, forward_ids: Sequence[str]) -> None:
        stopped = await self._stop_forwards(self._sampler.forwards(forward_ids))
        self.push_undo(stopped)
        if stopped:
            is_one = len(stopped) == 1
            what = target_text(stopped[0]) if is_one else pluralize(len(stopped), "forward")
            self._notifier.info(f"Stopped {what}. Press u to restore {'it' if is_one else 'them'}.")

    async def _stop_forwards(self, forwards: Sequence[Forward]) -> tuple[Forward, ...]:
        """Stop forwards; return those that were stopped, and report the others."""
        result = await stop_forwards(self._session, forwards)
        self._notify_failure(result.failure("stop", "forward"))
        return result.done

    def _notify_failure(self, error: TuiForwardError | None) -> None:
        if error is not None:
            self._notifier.error(error)

    @property
    def can_undo(self) -> bool:
        """Whether there are stopped forwards to restore."""
        return bool(self._undo)

    def undo(self) -> None:
        """Restore the forwards that were stopped last; those that cannot start can be again."""
        self._queue.enqueue(self._undo_last, is_batch=True)

    async def _undo_last(self) -> None:
        if self._undo:
            failed = await self._start_forwards(self._undo.pop(), "restored")
            if failed:
                self._undo.append(failed)

    def push_undo(self, stopped: Sequence[Forward]) -> None:
        """Let `undo` restore forwards on the local ports they had."""
        specs = tuple(spec_with_bound_port(forward) for forward in stopped)
        if specs:
            self._undo.append(specs)
            del self._undo[:-_MAX_UNDO]

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield a command to stop each forward."""
        from tui_forward.tui.keys.palette import PaletteCommand

        for forward in self._sampler.snapshot.forwards:
            yield PaletteCommand(
                f"Stop {forward.spec.target}", local_text(forward), partial(self.stop, [forward.id])
            )
