"""Copies the local addresses of forwards and opens them in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual.app import App

from tui_forward.common.formatting import pluralize
from tui_forward.common.kubectl_command import format_command
from tui_forward.errors import TuiForwardError
from tui_forward.model import Forward, ForwardDefaults
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.viewmodel.rows import target_text

_NO_ADDRESS = "No local address yet"


class AddressController:
    """Clipboard and browser; runs after the commands before, which may start the forwards."""

    def __init__(
        self, app: App[None], sampler: Sampler, queue: CommandQueue, notifier: Notifier,
        defaults: Callable[[], ForwardDefaults],
    ) -> None:  # fmt: skip
        self._app = app
        self._sampler = sampler
        self._queue = queue
        self._notifier = notifier
        self._defaults = defaults  # options that a command leaves out

    def copy(self, forward_ids: Sequence[str]) -> None:
        """Copy the local addresses of forwards, one a line."""
        self._queue.enqueue(partial(self._copy, forward_ids))

    async def _copy(self, forward_ids: Sequence[str]) -> None:
        from tui_forward.common.links import address_text

        forwards = self._sampler.forwards(forward_ids)
        texts = [address_text(forward) for forward in forwards if forward.listening]
        if not texts:
            self._notifier.warn(_NO_ADDRESS)
            return
        self._app.copy_to_clipboard("\n".join(texts))
        what = texts[0] if len(texts) == 1 else pluralize(len(texts), "address", "addresses")
        self._notifier.info(f"Copied {what}")

    def copy_text(self, text: str) -> None:
        """Copy a text."""
        self._app.copy_to_clipboard(text)
        self._notifier.info(f"Copied {text}")

    def copy_commands(self, forward_ids: Sequence[str]) -> None:
        """Copy the command lines that start the same forwards, one a line."""
        forwards = self._sampler.forwards(forward_ids)
        commands = [format_command(forward.spec, self._defaults()) for forward in forwards]
        if commands:
            self._app.copy_to_clipboard("\n".join(commands))
            what = "the command" if len(commands) == 1 else pluralize(len(commands), "command")
            self._notifier.info(f"Copied {what}")

    def open(self, forward_ids: Sequence[str]) -> None:
        """Open forwards in the browser."""
        self._queue.enqueue(partial(self._open_all, forward_ids))

    async def _open_all(self, forward_ids: Sequence[str]) -> None:
        for forward in self._sampler.forwards(forward_ids):
            # The scheme may have to be probed, which takes longer than a command may.
            self._app.run_worker(self._open(forward), group="open", exit_on_error=False)

    async def _open(self, forward: Forward) -> None:
        from tui_forward.common import links

        local = links.local_endpoint(forward)
        if local is None:
            self._notifier.warn(_NO_ADDRESS)
            return
        scheme = links.scheme_of(forward)
        if scheme is True:
            scheme = await links.probe(*local) or False
        if not isinstance(scheme, links.Scheme):
            self._notifier.warn(f"{target_text(forward)} does not serve HTTP")
            return
        try:
            await links.open_in_browser(links.url(scheme, *local))
        except TuiForwardError as error:
            self._notifier.error(error)
