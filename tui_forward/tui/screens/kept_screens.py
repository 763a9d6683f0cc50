"""Screens that open often: they stay mounted, so that a key need not wait until they are built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from textual.app import App

from tui_forward.tui.textual_internals.screens import KeptScreen, mount_ahead

T = TypeVar("T")
S = TypeVar("S", bound=KeptScreen[Any])

Fillers = Mapping[type[KeptScreen[Any]], Callable[[], KeptScreen[Any]]]

_PAUSE_S: Final = 0.2


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

    async def build(self, import_fillers: Callable[[], Fillers], pause_s: float = _PAUSE_S) -> None:
        """Build screens ahead of their first opening, with pauses in which keys are handled.

        Args:
            import_fillers: Imports the classes of the screens, in a thread; returns functions that
                take a screen and fill it.
            pause_s: Time for the first frame and what follows it, and between the screens.
        """
        await asyncio.sleep(pause_s)
        for screen_class, fill in (await asyncio.to_thread(import_fillers)).items():
            await asyncio.sleep(pause_s)
            if screen_class not in self._screens:
                await mount_ahead(self._app, fill())
