"""Starts, stops and changes forwards, and restores stopped ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.model import Forward, ForwardDefaults, ForwardSpec
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.session import Session
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.messages import (
    CloseConnectionsRequested,
    ForwardAction,
    ForwardActionRequested,
    ForwardPortsRequested,
)
from tui_forward.tui.storage.favorites import Favorites
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

    def forward_ports(self, request: ForwardPortsRequested, context: str) -> None:
        """Start the forwards of ports; stop running ones if the request toggles."""
        self._queue.enqueue(partial(self._forward_ports, request, context, self._defaults()))

    async def _forward_ports(
        self, request: ForwardPortsRequested, context: str, defaults: ForwardDefaults
    ) -> None:
        stopped: list[Forward] = []
        for entry, port in request.ports:
            forward = forward_on(self._sampler.snapshot.forwards, context, entry, port)
            if forward is None:
                await self._session.start(defaults.spec(target_of(context, entry, port)))
                self._favorites.record_use(context, entry.key)
            elif request.toggle:
                await self._session.stop(forward.id)
                stopped.append(forward)
        self.push_undo(stopped)

    def run_action(self, request: ForwardActionRequested) -> None:
        """Stop, pause, resume or reconnect forwards."""
        if request.action is ForwardAction.STOP:
            self.stop(request.forward_ids)
        else:
            command = partial(self._pause_or_reconnect, request.forward_ids, request.action)
            self._queue.enqueue(command)

    async def _pause_or_reconnect(self, forward_ids: Sequence[str], action: ForwardAction) -> None:
        for forward in self._sampler.forwards(forward_ids):
            if action is ForwardAction.RECONNECT:
                await self._session.reconnect(forward.id)
            elif forward.paused:
                await self._session.resume(forward.id)
            else:
                await self._session.pause(forward.id)

    def close_connections(self, request: CloseConnectionsRequested) -> None:
        """Close connections."""
        self._queue.enqueue(partial(self._close_connections, request.connection_ids))

    async def _close_connections(self, connection_ids: Sequence[int]) -> None:
        for connection_id in connection_ids:
            await self._session.close_connection(connection_id)

    def start(self, specs: Sequence[ForwardSpec], result: str = "started") -> None:
        """Start forwards and report them; the notification ends with `result`."""
        self._queue.enqueue(partial(self._start, specs, result))

    async def _start(self, specs: Sequence[ForwardSpec], result: str) -> None:
        for spec in specs:
            await self._session.start(spec)
        what = str(specs[0].target) if len(specs) == 1 else pluralize(len(specs), "forward")
        self._notifier.info(f"{what} {result}")

    def replace(self, forward: Forward, spec: ForwardSpec) -> None:
        """Restart a forward with another spec, on its local port unless the spec names one."""
        self._queue.enqueue(partial(self._replace, forward, spec))

    async def _replace(self, forward: Forward, spec: ForwardSpec) -> None:
        await self._session.stop(forward.id)
        self.push_undo([forward])
        if spec.local_port is None and forward.listening:
            spec = msgspec.structs.replace(spec, local_port=forward.listening[0].port)
        await self._start((spec,), "changed")

    def stop(self, forward_ids: Sequence[str]) -> None:
        """Stop forwards; `undo` restores them."""
        self._queue.enqueue(partial(self._stop, forward_ids))

    async def _stop(self, forward_ids: Sequence[str]) -> None:
        forwards = self._sampler.forwards(forward_ids)
        for forward in forwards:
            await self._session.stop(forward.id)
        self.push_undo(forwards)
        if forwards:
            is_one = len(forwards) == 1
            what = target_text(forwards[0]) if is_one else pluralize(len(forwards), "forward")
            self._notifier.info(f"Stopped {what}. Press u to restore {'it' if is_one else 'them'}.")

    @property
    def can_undo(self) -> bool:
        """Whether there are stopped forwards to restore."""
        return bool(self._undo)

    def undo(self) -> None:
        """Restore the forwards that were stopped last."""
        if self._undo:
            self.start(self._undo.pop(), "restored")

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
