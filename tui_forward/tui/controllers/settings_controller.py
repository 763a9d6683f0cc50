"""Loads the settings file, applies it, and follows edits of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual.dom import DOMNode
from textual.theme import Theme

from tui_forward.common.periodic_checks import SETTINGS_CHECKS
from tui_forward.common.terminal_encoding import ASCII, UTF_8, terminal_encoding
from tui_forward.errors import TuiForwardError
from tui_forward.settings.parser import Settings, Symbols, load_settings, settings_identity
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.keys.key_names import default_keys
from tui_forward.tui.keys.keymap import KeyCheck, check_keys
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.themes import ThemedApp

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand

BindableClasses = Callable[[], Sequence[type[DOMNode]]]


class SettingsFile:
    """The settings file as read last, or without a path the built-in settings."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        # Before the content: an edit in between is noticed later.
        self._identity: object = settings_identity(path) if path is not None else None
        self._lock = asyncio.Lock()
        self.settings = load_settings(path) if path is not None else Settings()

    @property
    def encoding(self) -> str:
        """The encoding of the terminal; what it lacks is drawn with ASCII symbols."""
        if self.settings.symbols is Symbols.AUTO:
            stdout = sys.__stdout__
            return terminal_encoding(stdout.encoding if stdout is not None else UTF_8)
        return ASCII if self.settings.symbols is Symbols.ASCII else UTF_8

    async def wait_changed(self) -> None:
        """Wait until the file has changed; without one, forever."""
        path = self.path
        if path is None:
            await asyncio.Event().wait()
        else:
            await SETTINGS_CHECKS.wait(lambda: settings_identity(path) != self._identity)

    async def reload(self, *, always: bool = False) -> Settings | None:
        """Return the settings of a file that has changed, or `always`; None if it has not."""
        path = self.path
        if path is None:
            return None
        async with self._lock:
            identity = await asyncio.to_thread(settings_identity, path)
            if identity == self._identity and not always:
                return None
            self._identity = identity
            return await asyncio.to_thread(load_settings, path)

    async def save_theme(self, theme: str) -> None:
        """Write the theme to the file; raise ConfigError if it cannot be written.

        `reload` does not take what is written for an edit.
        """
        from tui_forward.settings.writer import save_theme

        path = self.path
        if path is None:
            return

        def write() -> object:
            save_theme(path, theme)
            return settings_identity(path)

        async with self._lock:
            self._identity = await asyncio.to_thread(write)
            self.settings = replace(self.settings, theme=theme)


class SettingsController:
    """Applies theme, keys and sampling interval."""

    def __init__(
        self, app: ThemedApp[None], file: SettingsFile, sampler: Sampler, notifier: Notifier,
        bindable_classes: BindableClasses, on_change: Callable[[], Awaitable[None]],
        kept_screens: KeptScreens,
    ) -> None:  # fmt: skip
        self._app = app
        self._kept_screens = kept_screens
        self._file = file
        self._sampler = sampler
        self._notifier = notifier
        self._bindable_classes = bindable_classes  # returns the classes whose keys can be changed
        self._on_change = on_change  # runs after changed settings are applied

    def apply_at_start(self) -> list[str]:
        """Apply the valid part of the settings; return the problems of the rest."""
        settings = self._file.settings
        keys = self._check_keys(settings)
        self._apply(settings, keys)
        self._app.theme_changed_signal.subscribe(self._app, self._theme_changed)
        return self._problems(settings, keys)

    async def run(self) -> None:
        """Apply edits of the file until canceled; one with problems changes nothing."""
        while True:
            await self._file.wait_changed()
            settings = await self._file.reload()
            if settings is not None:
                await self._use(settings)

    def reload(self) -> None:
        """Read the file again and apply it, also if it has not changed."""
        self._app.run_worker(self._reload(), group="reload settings")

    async def _reload(self) -> None:
        settings = await self._file.reload(always=True)
        if settings is None:
            self._notifier.warn("There is no settings file")
        else:
            await self._use(settings)

    async def _use(self, settings: Settings) -> None:
        """Apply settings without problems, and report either."""
        keys = self._check_keys(settings)
        problems = self._problems(settings, keys)
        for problem in problems:
            self._notifier.warn(f"Settings not changed\n{problem}")
        if not problems:
            self._apply(settings, keys)
            await self._on_change()
            self._notifier.info("Settings reloaded")

    def _theme_changed(self, _theme: Theme) -> None:
        """Save a theme that the user has chosen, wherever: here, or in Textual's own list."""
        if chosen := self._app.chosen_theme():
            self._app.run_worker(self._save_theme(chosen), group="save theme")

    def _check_keys(self, settings: Settings) -> KeyCheck:
        ids = default_keys(self._bindable_classes()) if settings.keys else {}
        return check_keys(settings.keys, ids, lines=settings.key_lines, file=settings.file)

    def _problems(self, settings: Settings, keys: KeyCheck) -> list[str]:
        problems = [str(one) for one in (*settings.problems, *keys.problems)]
        theme = self._app.theme_error(settings.theme)
        return [theme, *problems] if theme else problems

    def _apply(self, settings: Settings, keys: KeyCheck) -> None:
        self._file.settings = settings
        self._app.set_keymap(keys.keymap)
        self._sampler.set_interval(settings.refresh_s)
        self._app.use_theme(settings.theme)

    async def _save_theme(self, theme: str) -> None:
        try:
            await self._file.save_theme(theme)
        except TuiForwardError as error:
            self._notifier.error(error)

    def set_theme(self, theme: str) -> None:
        """Use a theme now and from now on."""
        self._app.theme = theme

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield commands to read the settings again and to choose a theme, and one for each."""
        from tui_forward.tui.keys.palette import PaletteCommand

        yield PaletteCommand("Reload settings", self.reload)
        yield PaletteCommand("Change theme… (saved to settings.toml)", self.choose_theme)
        for name in self._app.theme_names:
            yield PaletteCommand(f"Theme: {name}", partial(self.set_theme, name), only_found=True)

    def choose_theme(self) -> None:
        """Open the picker of themes."""
        from tui_forward.tui.screens.picker import Picker
        from tui_forward.tui.viewmodel.picker_options import PickerOption

        def use(name: str | None) -> None:
            if name is not None:
                self.set_theme(name)

        options = [
            PickerOption(name, name, current=name == self._app.theme)
            for name in self._app.theme_names
        ]
        self._app.push_screen(self._kept_screens.take(Picker).fill("theme", options), use)
