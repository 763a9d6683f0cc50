"""Carries out what a person wishes: one wish after the other, each judged by a fresh snapshot.

So a key that is pressed twice at once is on and off, not on twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import DeclaredPort, Forward, ForwardDefaults, ForwardSpec
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.session import Session
from tui_forward.tui.controllers import sampler as sampler_module
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.dialogs import QuitChoice
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import forward_on, target_of
from tui_forward.tui.viewmodel.rows import target_text

_MAX_WISHES = 64
_MAX_UNDO = 50

Action = Callable[[], Awaitable[None]]


class Notifier(Protocol):
    """Tells the person something."""

    def notify_info(self, text: str) -> None:
        """What was done."""

    def notify_error(self, error: TuiForwardError) -> None:
        """What could not be done, and why."""

    def exit_with_message(self, text: str) -> None:
        """The last word, and the end of the screen."""


@dataclass(frozen=True, slots=True)
class RestoreOffer:
    """What was on before a crash or a reboot, and is not.

    Attributes:
        specs: As they were.
        bring_back: Switches them on; gives what could not be.
        forget: Nobody wants them back.
        unasked: The person has said yes already.
    """

    specs: Sequence[ForwardSpec]
    restore: Callable[[], Awaitable[Sequence[TuiForwardError]]]
    forget: Callable[[], None]
    unasked: bool = False


def still_running_message(count: int) -> str:
    """The last word about forwards that go on without a dashboard; empty if there are none."""
    go_on = "goes on" if count == 1 else "go on"
    return f"{pluralize(count, 'forward')} {go_on}; see `tui-forward ls`" if count else ""


class ForwardController:
    """Grants wishes.

    Args:
        session: The engine's door.
        sampler: Has the latest snapshot, and is told when there is something new to see.
        memory: Is told what was used.
        mouth: Tells what became of a wish.
    """

    def __init__(
        self, session: Session, sampler: sampler_module.Sampler, memory: Favorites, mouth: Notifier
    ) -> None:
        self._session = session
        self._sampler = sampler
        self._memory = memory
        self._mouth = mouth
        self._wishes: asyncio.Queue[Action] = asyncio.Queue(_MAX_WISHES)
        self._undo: list[tuple[ForwardSpec, ...]] = []

    async def run(self) -> None:
        """Grant for ever."""
        while True:
            wish = await self._wishes.get()
            try:
                async with asyncio.timeout(sampler_module.ANSWER_S):
                    await wish()
                    self._sampler.snapshot = await self._session.snapshot()
            except TuiForwardError as error:
                self._mouth.notify_error(error)
            except TimeoutError:
                self._mouth.notify_error(TransportError("the engine process does not answer"))
            self._sampler.request_sample()

    def enqueue(self, action: Action) -> bool:
        """Do this when all that was wished before is done; False: there is too much of it."""
        try:
            self._wishes.put_nowait(action)
        except asyncio.QueueFull:
            return False
        return True

    def forwards(self, forward_ids: Sequence[str]) -> list[Forward]:
        """Those of them that there are."""
        return [one for one in self._sampler.snapshot.forwards if one.id in forward_ids]

    async def switch_ports(
        self,
        context: str,
        ports: Sequence[tuple[Entry, DeclaredPort]],
        defaults: ForwardDefaults,
        *,
        toggle: bool,
    ) -> None:
        """Switch ports on; those that are on off, if that is wanted."""
        stopped: list[Forward] = []
        for entry, port in ports:
            forward = forward_on(self._sampler.snapshot.forwards, context, entry, port)
            if forward is None:
                await self._session.start(defaults.spec(target_of(context, entry, port)))
                self._memory.record_use(context, entry.key)
            elif toggle:
                await self._session.stop(forward.id)
                stopped.append(forward)
        self.push_undo(stopped)

    async def stop(self, forward_ids: Sequence[str]) -> None:
        """End forwards; `undo` brings them back."""
        forwards = self.forwards(forward_ids)
        for forward in forwards:
            await self._session.stop(forward.id)
        self.push_undo(forwards)
        if forwards:
            one = len(forwards) == 1
            named = target_text(forwards[0]) if one else pluralize(len(forwards), "forward")
            self._mouth.notify_info(f"stopped {named}; u brings {'it' if one else 'them'} back")

    async def pause_or_reconnect(self, forward_ids: Sequence[str], wish: ForwardAction) -> None:
        """Pause or go on, or reconnect."""
        for forward in self.forwards(forward_ids):
            if wish is ForwardAction.RECONNECT:
                await self._session.reconnect(forward.id)
            elif forward.paused:
                await self._session.resume(forward.id)
            else:
                await self._session.pause(forward.id)

    async def start(self, specs: Sequence[ForwardSpec], how: str) -> None:
        """Begin forwards, and say how they came about."""
        for spec in specs:
            await self._session.start(spec)
        what = str(specs[0].target) if len(specs) == 1 else pluralize(len(specs), "forward")
        self._mouth.notify_info(f"{what} {how}")

    async def replace(self, forward: Forward, spec: ForwardSpec) -> None:
        """End a forward and begin it otherwise, on its port if no other is asked for."""
        await self._session.stop(forward.id)
        self.push_undo([forward])
        if spec.local_port is None and forward.listening:
            spec = msgspec.structs.replace(spec, local_port=forward.listening[0].port)
        await self.start((spec,), "changed")

    async def end_connections(self, connection_ids: Sequence[int]) -> None:
        """End connections."""
        for connection_id in connection_ids:
            await self._session.close_connection(connection_id)

    async def restore(self, offer: RestoreOffer) -> None:
        """Switch on what was on before."""
        troubles = await offer.restore()
        for trouble in troubles:
            self._mouth.notify_error(trouble)
        if count := len(offer.specs) - len(troubles):
            self._mouth.notify_info(f"{pluralize(count, 'forward')} back")
        offer.forget()

    async def quit(self, how: QuitChoice) -> None:
        """Stop all forwards or let them go on, then leave; an engine that is gone is no reason."""
        farewell = ""
        try:
            async with asyncio.timeout(sampler_module.ANSWER_S):
                forwards = (await self._session.snapshot()).forwards
                if how is QuitChoice.STOP:
                    await asyncio.gather(*(self._session.stop(one.id) for one in forwards))
                await self._session.set_keep_running(how is QuitChoice.KEEP_RUNNING)
            if how is QuitChoice.KEEP_RUNNING:
                farewell = still_running_message(len(forwards))
        except (TuiForwardError, TimeoutError) as error:
            if how is QuitChoice.KEEP_RUNNING:
                self._mouth.notify_error(
                    error
                    if isinstance(error, TuiForwardError)
                    else TransportError("the engine process does not answer")
                )
                return
        self._mouth.exit_with_message(farewell)

    @property
    def can_undo(self) -> bool:
        """Whether anything was stopped that is not back."""
        return bool(self._undo)

    def undo(self) -> None:
        """Bring back what was stopped last."""
        if self._undo:
            self.enqueue(partial(self.start, self._undo.pop(), "back"))

    def push_undo(self, stopped: Sequence[Forward]) -> None:
        """What was stopped can come back on the port it had."""
        specs = tuple(spec_with_bound_port(forward) for forward in stopped)
        if specs:
            self._undo.append(specs)
            del self._undo[:-_MAX_UNDO]
