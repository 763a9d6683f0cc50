"""Dialog for a target or a kubectl port-forward command, with a preview of its forwards."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from tui_forward.common.kubectl_command import parse_commands
from tui_forward.errors import UsageError
from tui_forward.model import AccessOptions, ForwardDefaults, ForwardSpec
from tui_forward.tui.plain_text import PlainText
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet


def describe_spec(spec: ForwardSpec) -> str:
    """Return one forward in words."""
    local = {None: "the same local port, or the next free one", 0: "any free local port"}.get(
        spec.local_port, f"local port {spec.local_port}"
    )
    where = "" if spec.addresses == ("localhost",) else f" on {', '.join(spec.addresses)}"
    return f"{spec.target}  ←  {local}{where}"


class PasteDialog(Dialog[tuple[ForwardSpec, ...] | None]):
    """Input line for a command; its result is the forwards to start, or None."""

    CSS_PATH = stylesheet("paste_dialog.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="paste.cancel",
                tooltip="Close without starting a forward"),
    ]  # fmt: skip

    def __init__(
        self, *, context: str, namespace: str, options: AccessOptions, defaults: ForwardDefaults,
        text: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self._default_context = context
        self._default_namespace = namespace
        self._default_options = options
        self._defaults = defaults  # for other options a command leaves out
        self._text = " ".join(text.split("\n"))
        self._specs: tuple[ForwardSpec, ...] = ()
        self._preview = PlainText(id="preview")

    def compose(self) -> ComposeResult:
        """Show the input line above the preview."""
        with Vertical() as box:
            box.border_title = "forward by command"
            box.border_subtitle = "enter  start · esc  cancel"
            hint = "svc/web 8080:80, or a kubectl port-forward command"
            yield Input(self._text, placeholder=hint, id="line")
            yield self._preview

    def on_mount(self) -> None:
        """Show the preview of the text to start with."""
        self._parse(self._text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Update the preview."""
        self._parse(event.value)

    def on_input_submitted(self) -> None:
        """Start the forwards of a valid command."""
        if self._specs:
            self.dismiss(self._specs)

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    def _parse(self, text: str) -> None:
        self._specs = ()
        if not text.strip():
            self._preview.show("Type a target and ports, or paste a command.")
            return
        try:
            self._specs = parse_commands(
                text, context=self._default_context, namespace=self._default_namespace, bare=True,
                options=self._default_options, defaults=self._defaults,
            )  # fmt: skip
        except UsageError as error:
            self._preview.show(f"✗ {error.message}\n  {error.hint}")
        else:
            self._preview.show("\n".join(f"✓ {describe_spec(spec)}" for spec in self._specs))
