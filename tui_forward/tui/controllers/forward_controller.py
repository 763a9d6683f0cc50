"""Starts, stops and changes forwards, and restores stopped ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NewType, Protocol

import msgspec

from tui_forward.common.target_names import target_name
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.model import (
    CatalogScope,
    DeclaredPort,
    Forward,
    ForwardDefaults,
    ForwardSpec,
    ProxyInfo,
    ProxySpec,
    Target,
)
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.profiles.proxy import bound_spec
from tui_forward.session import Session
from tui_forward.session.batch import (
    STOP_TIMEOUT_S,
    BatchResult,
    run_batch,
    stop_forwards,
)
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import ANSWER_TIMEOUT_S
from tui_forward.tui.controllers.start_reporter import StartReporter
from tui_forward.tui.messages import (
    CloseConnectionsRequested,
    ForwardAction,
    ForwardActionRequested,
    ForwardPortsRequested,
)
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import forward_on, target_of
from tui_forward.tui.viewmodel.forward_rows import has_problem
from tui_forward.tui.viewmodel.proxy_text import proxied_target
from tui_forward.tui.viewmodel.rows import local_text
from tui_forward.tui.viewmodel.toasts import (
    not_stopped_text,
    restored_proxies_text,
    restored_text,
    stopped_text,
)

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand

_MAX_UNDO = 50

# Targets that the guard was asked about; made by `ForwardController` only.
ConfirmedTargets = NewType("ConfirmedTargets", frozenset[Target])


class StartGuard(Protocol):
    """Runs what starts something in the contexts of targets, after a question if needed."""

    def __call__(
        self, targets: Sequence[Target], start: Callable[[], None], *, what: str = ""
    ) -> None:
        """Call `start`, perhaps later or never; `what` is the words for it, unless forwards."""


class UndoStep(msgspec.Struct, frozen=True):
    """Forwards and proxies to start again, and the forward that an edit started in their place."""

    specs: tuple[ForwardSpec, ...]
    replaced_by: str = ""  # id; empty unless it was an edit
    proxies: tuple[ProxySpec, ...] = ()

    @property
    def targets(self) -> list[Target]:
        """What is reached again, to ask before."""
        proxied = [proxied_target(one.context, one.namespace, one.options) for one in self.proxies]
        return [spec.target for spec in self.specs] + proxied


class ForwardController:
    """Carries out requests about forwards and their connections.

    Whatever starts forwards passes `confirm_start`, also in other controllers.
    """

    def __init__(
        self, session: Session, sampler: Sampler, queue: CommandQueue, favorites: Favorites,
        notifier: Notifier, defaults: Callable[[], ForwardDefaults], reporter: StartReporter,
        go_to: Callable[[str, bool], None], guard: StartGuard,
    ) -> None:  # fmt: skip
        self._session = session
        self._sampler = sampler
        self._queue = queue
        self._favorites = favorites
        self._notifier = notifier
        self._defaults = defaults
        self._reporter = reporter
        # Moves the cursor of the forwards to one, also if they have the focus.
        self._go_to = go_to
        self._guard = guard
        self._undo: list[UndoStep] = []
        self._started: tuple[str, ...] = ()  # by the last batch

    def confirm_start(
        self, targets: Sequence[Target], start: Callable[[], None], *, what: str = ""
    ) -> None:
        """Call what starts forwards to targets, or something else, perhaps after a question."""
        self._guard(targets, start, what=what)

    def _enqueue_start(
        self, targets: Sequence[Target], command: Callable[[ConfirmedTargets], Awaitable[None]]
    ) -> None:
        """Run a command that starts forwards to targets, if the user wants it."""
        confirmed = ConfirmedTargets(frozenset(targets))
        self.confirm_start(
            targets, lambda: self._queue.enqueue(partial(command, confirmed), is_batch=True)
        )

    def forward_ports(self, request: ForwardPortsRequested, scope: CatalogScope) -> None:
        """Start the forwards of ports that have none."""
        forwards = self._sampler.snapshot.forwards
        new = [one for one in request.ports if forward_on(forwards, scope, *one) is None]
        targets = [target_of(scope, entry, port) for entry, port in new]
        self._enqueue_start(targets, partial(self._forward_ports, new, scope, self._defaults()))

    async def _forward_ports(
        self, ports: Sequence[tuple[Entry, DeclaredPort]], scope: CatalogScope,
        defaults: ForwardDefaults, confirmed: ConfirmedTargets,
    ) -> None:  # fmt: skip
        forwards = self._sampler.snapshot.forwards
        to_start = [
            (entry, defaults.spec(target_of(scope, entry, port)))
            for entry, port in ports
            # Another key press may have started it.
            if forward_on(forwards, scope, entry, port) is None
        ]
        entries = {id(spec): entry for entry, spec in to_start}
        batch = await self._start_batch([spec for _, spec in to_start], confirmed)
        for spec in batch.done:
            self._favorites.record_use(scope.context, entries[id(spec)].key)

    async def _start_batch(
        self, specs: Sequence[ForwardSpec], confirmed: ConfirmedTargets, *,
        always_go: bool = False, report: bool = True,
    ) -> BatchResult[ForwardSpec]:  # fmt: skip
        """Start forwards in order, report them, and go to the first."""
        ids: list[str] = []

        async def start(spec: ForwardSpec) -> None:
            if spec.target not in confirmed:
                raise UsageError(f"{target_name(spec.target)} was not confirmed")
            ids.append(await self._session.start(spec))

        with self._reporter.starting():
            batch = await run_batch(start, specs, timeout_s=ANSWER_TIMEOUT_S, parallel=1)
            if report:
                self._reporter.report(ids)
        self._notify_failure(batch.failure("start", "forward"))
        if ids:
            self._go_to(ids[0], always_go)
        self._started = tuple(ids)
        return batch

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

    def start(self, specs: Sequence[ForwardSpec]) -> None:
        """Start forwards and report their outcome."""
        self._enqueue_start([spec.target for spec in specs], partial(self._start, specs))

    async def _start(self, specs: Sequence[ForwardSpec], confirmed: ConfirmedTargets) -> None:
        await self._start_batch(specs, confirmed)

    def replace(self, forward: Forward, spec: ForwardSpec) -> None:
        """Restart a forward with another spec, on its local port unless the spec names one."""
        self._enqueue_start([spec.target], partial(self._replace, forward, spec))

    async def _replace(
        self, forward: Forward, spec: ForwardSpec, confirmed: ConfirmedTargets
    ) -> None:
        if (await stop_forwards(self._session, [forward])).failed:
            self._notifier.warn(not_stopped_text(forward))
            return
        if spec.local_port is None and forward.listening:
            spec = msgspec.structs.replace(spec, local_port=forward.listening[0].port)
        await self._start_batch((spec,), confirmed, always_go=True)
        self._push(UndoStep((spec_with_bound_port(forward),), next(iter(self._started), "")))

    def stop(self, forward_ids: Sequence[str]) -> None:
        """Stop forwards; `undo` restores them."""
        self._queue.enqueue(partial(self._stop, forward_ids), is_batch=True)

    async def _stop(self, forward_ids: Sequence[str]) -> None:
        stopped = await self._stop_forwards(self._sampler.forwards(forward_ids))
        self.push_undo(stopped)
        if stopped:
            self._notifier.info(stopped_text([one.spec.target for one in stopped]))

    async def _stop_forwards(self, forwards: Sequence[Forward]) -> tuple[Forward, ...]:
        """Stop forwards; return those that were stopped, and report the others."""
        result = await stop_forwards(self._session, forwards)
        self._notify_failure(result.failure("stop", "forward"))
        return result.done

    def _notify_failure(self, error: TuiForwardError | None) -> None:
        if error is not None:
            self._notifier.error(error)

    def undo(self) -> None:
        """Restore what was stopped or edited last, by the commands before, too."""
        self._queue.enqueue(self._confirm_undo, is_batch=True)

    async def _confirm_undo(self) -> None:
        if not self._undo:
            self._notifier.info("Nothing to undo")
            return
        step = self._undo[-1]
        targets = step.targets
        confirmed = ConfirmedTargets(frozenset(targets))

        def restore() -> None:
            if step in self._undo:
                self._undo.remove(step)
                self._queue.enqueue(partial(self._restore, step, confirmed), is_batch=True)

        self.confirm_start(targets, restore, what="" if step.specs else "the cluster proxy")

    async def _restore(self, step: UndoStep, confirmed: ConfirmedTargets) -> None:
        edited = self._sampler.forwards([step.replaced_by])
        if edited and (await stop_forwards(self._session, edited)).failed:
            self._notifier.warn(not_stopped_text(edited[0]))
            self._undo.append(step)
            return
        batch = await self._start_batch(step.specs, confirmed, always_go=True, report=False)
        if batch.done:
            self._notifier.info(restored_text([spec.target for spec in batch.done]))
        proxies = await run_batch(
            self._session.start_proxy, step.proxies, timeout_s=ANSWER_TIMEOUT_S
        )
        self._notify_failure(proxies.failure("start", "cluster proxy"))
        if proxies.done:
            self._notifier.info(restored_proxies_text(proxies.done))
        left = UndoStep(
            tuple(spec for spec, _ in batch.failed),
            proxies=tuple(spec for spec, _ in proxies.failed),
        )
        if left.targets:
            self._undo.append(left)

    def push_undo(self, stopped: Sequence[Forward], proxies: Sequence[ProxyInfo] = ()) -> None:
        """Let `undo` restore forwards and proxies on the local ports they had."""
        own = [forward for forward in stopped if not forward.spec.proxy]
        step = UndoStep(
            tuple(spec_with_bound_port(forward) for forward in own),
            proxies=tuple(bound_spec(proxy) for proxy in proxies),
        )
        if step.targets:
            self._push(step)

    def _push(self, step: UndoStep) -> None:
        self._undo.append(step)
        del self._undo[:-_MAX_UNDO]

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield commands for all forwards, and one to stop each of them."""
        from tui_forward.tui.keys.palette import Group, PaletteCommand

        forwards = self._sampler.snapshot.forwards
        if waiting := [one.id for one in forwards if has_problem(one)]:
            yield PaletteCommand(
                f"Reconnect all that are not ready ({len(waiting)})",
                partial(self.run_action, ForwardActionRequested(waiting, ForwardAction.RECONNECT)),
                Group.ALL,
            )
        for forward in forwards:
            yield PaletteCommand(
                f"Stop {forward.spec.target} {local_text(forward)}".rstrip(),
                partial(self.stop, [forward.id]), Group.ALL, only_found=True,
            )  # fmt: skip
