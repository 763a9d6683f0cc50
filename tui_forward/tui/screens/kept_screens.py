"""Screens that open often: they stay mounted, so that a key need not wait until they are built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from textual.app import App

from tui_forward.tui.textual_internals import KeptScreen, mount_ahead

T = TypeVar("T")
S = TypeVar("S", bound=KeptScreen[Any])

_DELAY_S: Final = 0.5  # after the first frame
_PAUSE_S: Final = 0.03  # for keys, after each step


class KeptScreens:
    """At most one closed screen of each class."""

    def __init__(self, app: App[T]) -> None:
        self._app = app
        self._screens: dict[type[KeptScreen[Any]], KeptScreen[Any]] = {}

    def take(self, screen_class: type[S]) -> S:
        """Return a closed screen of a class, which the caller fills and pushes."""
        kept = self._screens.get(screen_class)
        if isinstance(kept, screen_class) and kept not in self._app.screen_stack:
            return kept
        screen = screen_class()
        if kept is None:
            self._screens[screen_class] = screen
            self._app.install_screen(screen, screen_class.__name__)
        return screen

    async def build(self, steps: Sequence[Callable[[], type[KeptScreen[Any]] | None]]) -> None:
        """Build screens ahead of their first opening, with pauses in which keys are handled.

        Each step imports what a screen needs; it may return the class of the screen.
        """
        await asyncio.sleep(_DELAY_S)
        for step in steps:
            screen_class = step()
            await asyncio.sleep(_PAUSE_S)
            if screen_class is not None and screen_class not in self._screens:
                await mount_ahead(self._app, self.take(screen_class))
                await asyncio.sleep(_PAUSE_S)
