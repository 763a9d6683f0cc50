"""Restores the forwards of a session that a crash or a reboot ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from textual.app import App

from tui_forward.errors import TuiForwardError
from tui_forward.model import ForwardSpec
from tui_forward.session import Session
from tui_forward.settings.parser import AskPolicy
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.controllers.start_reporter import StartReporter
from tui_forward.tui.screens.dialogs import RestoreScreen


class RestoreOffer(msgspec.Struct, frozen=True):
    """Forwards of the last session that are not active."""

    specs: Sequence[ForwardSpec]
    # Starts them; returns an error for each one that cannot be started.
    restore: Callable[[], Awaitable[Sequence[TuiForwardError]]]
    discard: Callable[[], None]  # deletes the saved session
    automatic: bool = False  # whether to restore without a question


class RestoreController:
    """Asks whether to restore forwards, and restores them."""

    def __init__(
        self, app: App[None], queue: CommandQueue, notifier: Notifier,
        policy: Callable[[], AskPolicy], forwards: ForwardController, session: Session,
        reporter: StartReporter,
    ) -> None:  # fmt: skip
        self._app = app
        self._queue = queue
        self._notifier = notifier
        self._forwards = forwards
        self._session = session
        self._reporter = reporter
        self._policy = policy  # returns whether to restore, from the settings

    def present(self, offer: RestoreOffer) -> None:
        """Restore, ask, or do nothing, as the settings say; unanswered offers stay."""

        def answer(restore: bool | None) -> None:
            if restore:
                targets = [spec.target for spec in offer.specs]
                self._forwards.confirm_start(
                    targets,
                    lambda: self._queue.enqueue(lambda: self._restore(offer), is_batch=True),
                )
            elif restore is not None:
                offer.discard()

        if offer.automatic or self._policy() is AskPolicy.ALWAYS:
            answer(True)
        elif self._policy() is AskPolicy.ASK:
            lines = [f"{spec.target} ← {spec.local_port or 'any port'}" for spec in offer.specs]
            self._app.push_screen(RestoreScreen(lines), answer)

    async def _restore(self, offer: RestoreOffer) -> None:
        with self._reporter.starting() as known:
            errors = await offer.restore()
            offer.discard()
            async with session_timeout():
                forwards = (await self._session.snapshot()).forwards
            ids = [one.id for one in forwards if one.id not in known]
            self._reporter.report(ids, restored=True)
        self._notifier.errors(errors)
