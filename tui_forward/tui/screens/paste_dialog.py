"""A line from somebody's notes becomes forwards: shown before it is done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui_forward.common.kubectl_command import parse_commands
from tui_forward.errors import UsageError
from tui_forward.model import ForwardDefaults, ForwardSpec
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet


def described(spec: ForwardSpec) -> str:
    """One forward in words."""
    local = {None: "the same local port, or the next free one", 0: "any free local port"}.get(
        spec.local_port, f"local port {spec.local_port}"
    )
    where = "" if spec.addresses == ("localhost",) else f" on {', '.join(spec.addresses)}"
    return f"{spec.target}  ←  {local}{where}"


class PasteDialog(Dialog[tuple[ForwardSpec, ...] | None]):
    """Takes a `kubectl port-forward` line; answers with what it asks for, or None.

    Args:
        context: For lines that name none.
        namespace: Likewise; empty is the context's own.
        defaults: For whatever else a line does not say.
        text: What is there already.
    """

    CSS_PATH = stylesheet("paste_dialog.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="paste.cancel", tooltip="Start nothing"),
    ]

    def __init__(
        self, *, context: str, namespace: str, defaults: ForwardDefaults, text: str = ""
    ) -> None:
        super().__init__()
        self._in_context = context
        self._in_namespace = namespace
        self._defaults = defaults
        self._text = " ".join(text.split("\n"))
        self._specs: tuple[ForwardSpec, ...] = ()
        self._preview = Static("", id="preview", markup=False)

    def compose(self) -> ComposeResult:
        """The line, and below it what it means."""
        with Vertical() as box:
            box.border_title = "forward what you type"
            box.border_subtitle = "enter  start · esc  cancel"
            yield Input(
                self._text,
                placeholder="svc/web 8080:80, or a whole kubectl port-forward line",
                id="line",
            )
            yield self._preview

    def on_mount(self) -> None:
        """Say what the line means from the beginning."""
        self._judge(self._text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say it again with every letter."""
        self._judge(event.value)

    def on_input_submitted(self) -> None:
        """Start what is understood."""
        if self._specs:
            self.dismiss(self._specs)

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    def _judge(self, text: str) -> None:
        self._specs = ()
        if not text.strip():
            self._preview.update(
                "Type a target and ports, or paste a command; what it would start is shown here."
            )
            return
        try:
            self._specs = parse_commands(
                text, context=self._in_context, namespace=self._in_namespace, bare=True,
                defaults=self._defaults,
            )  # fmt: skip
        except UsageError as error:
            self._preview.update(f"✗ {error.message}\n  {error.hint}")
        else:
            self._preview.update("\n".join(f"✓ {described(spec)}" for spec in self._specs))
