"""Marks protected contexts in the dashboard, and asks before forwards start there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from textual.app import App

from tui_forward.common import atomic_file
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.formatting import pluralize
from tui_forward.common.target_names import target_name
from tui_forward.errors import TuiForwardError
from tui_forward.model import NO_OPTIONS, AccessOptions, Context, Target
from tui_forward.session import Session
from tui_forward.settings.parser import Settings
from tui_forward.settings.protected_contexts import (
    ProtectedContexts,
    production_contexts,
    protected_contexts,
)
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.keys.key_names import keys_of
from tui_forward.tui.screens.confirmation import ProtectedScreen, Question
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.viewmodel.context_names import ContextNaming

_RETRY_S: Final = 1.0
_CONTEXTS_INTERVAL_S: Final = 30.0  # between two looks at the kubeconfig
_MAX_NAMED: Final = 3
_MARKER: Final = "protection-suggested"  # beside the favorites


class ProtectionController:
    """The protected contexts of the settings."""

    def __init__(
        self, app: App[None], session: Session, dashboard: Dashboard, notifier: Notifier,
        settings: Callable[[], Settings], favorites: Path | None,
    ) -> None:  # fmt: skip
        self._app = app
        self._session = session
        self._dashboard = dashboard
        self._notifier = notifier
        self._settings = settings
        self._marker = favorites.with_name(_MARKER) if favorites is not None else None
        self._contexts: tuple[Context, ...] = ()
        self._settings_changed = asyncio.Event()
        self._known: tuple[Settings, ProtectedContexts] | None = None  # for which settings

    @property
    def protected(self) -> ProtectedContexts:
        """The protected contexts, as the settings are now."""
        settings = self._settings()
        if self._known is None or self._known[0] is not settings:
            self._known = (settings, protected_contexts(settings, self._contexts))
        return self._known[1]

    @property
    def naming(self) -> ContextNaming:
        """How contexts are named on every screen."""
        return ContextNaming(self.protected)

    def shown_name(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the name of a context as it is shown."""
        return self.naming.name(context, options)

    async def run(self) -> None:
        """Update the marks until canceled: when the settings change, else now and then."""
        while True:
            self._settings_changed.clear()
            interval_s = _CONTEXTS_INTERVAL_S
            try:
                await self._apply()
            except TuiForwardError:
                interval_s = _RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._settings_changed.wait()

    def apply_settings(self) -> None:
        """Update the marks after the settings have changed."""
        self._settings_changed.set()

    async def _apply(self) -> None:
        async with session_timeout():
            contexts = await self._session.contexts()
        if contexts != self._contexts:
            self._contexts, self._known = contexts, None
        # Equal while neither contexts nor settings have changed: then there is nothing to draw.
        if self.naming != self._dashboard.naming:
            self._dashboard.name_contexts(self.naming)
        await self._suggest()

    async def _suggest(self) -> None:
        """Suggest once to protect what looks like production."""
        names = production_contexts(self._contexts)
        if not names or "protected_contexts" in self._settings().setting_lines:
            return
        if self._marker is None or not await run_in_thread(
            lambda: _mark(self._marker), name="suggestion"
        ):
            return
        shown = ", ".join(map(self.shown_name, names[:_MAX_NAMED])) + (
            " …" if len(names) > _MAX_NAMED else ""
        )
        verb = "looks" if len(names) == 1 else "look"
        self._notifier.warn(
            f'{shown} {verb} like production. Add protected_contexts = ["*prod*"] to settings.toml '
            "to be asked before forwards start there."
        )

    def guard(
        self, targets: Sequence[Target], start: Callable[[], None], *, what: str = ""
    ) -> None:
        """Start forwards to targets; ask first if any is in a protected context.

        `what` is the words for something else that is started there.
        """
        names = self.naming.protected_names(targets)
        if not names:
            start()
            return

        def answer(confirmed: bool | None) -> None:
            if confirmed:
                start()

        inside = [one for one in targets if self.protected.is_protected(one.context, one.options)]
        where = ", ".join(names)
        question = protected_question(
            inside, where, keys_of(self._app, "protected.yes", ProtectedScreen), what
        )
        self._app.push_screen(ProtectedScreen(question), answer)


def protected_question(
    targets: Sequence[Target], where: str, keys: tuple[str, ...], what: str = ""
) -> Question:
    """Return the question before forwards start; of the target, only its name may be cut."""
    end = f" in {where} (protected)?"
    if what or len(targets) != 1:
        start = f"Start {what or pluralize(len(targets), 'forward')}"
        return Question(
            start + end, "Start", keys, lead=len(start), trail=len(end), protected=where
        )
    name, target = target_name(targets[0]), targets[0]
    kind, port = name.index(target.name), len(f":{target.port}")
    return Question(
        f"Start {name}{end}", "Start", keys,
        lead=len("Start ") + kind, trail=port + len(end), protected=where,
    )  # fmt: skip


def _mark(marker: Path | None) -> bool:
    """Return whether the suggestion is new, and remember that it was made. Blocks."""
    try:
        if marker is None or marker.exists():
            return False
        atomic_file.write_atomically(marker, b"")
    except OSError:
        return False
    return True
