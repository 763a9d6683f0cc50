"""Dialog for targets or kubectl port-forward commands, with a preview of what they start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from tui_forward.model import ForwardSpec
from tui_forward.tui.plain_text import PlainText
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet

# Imported on use, because the help, which lists the keys of this dialog, opens sooner then, and
# `TextArea` takes half a megabyte.
if TYPE_CHECKING:
    from textual.widgets import TextArea

    from tui_forward.profiles.importers.command_reader import ReadOptions
    from tui_forward.profiles.importers.import_result import ImportResult
    from tui_forward.tui.widgets.command_area import CommandArea

_MAX_LINES = 50  # of each kind in the preview


def describe_spec(spec: ForwardSpec) -> str:
    """Return one forward in words."""
    local = {None: "the same local port, or the next free one", 0: "any free local port"}.get(
        spec.local_port, f"local port {spec.local_port}"
    )
    where = "" if spec.addresses == ("localhost",) else f" on {', '.join(spec.addresses)}"
    return f"{spec.target}  ←  {local}{where}"


class PasteDialog(Dialog[tuple[ForwardSpec, ...] | None]):
    """Input for commands; its result is the forwards to start, or None."""

    CSS_PATH = stylesheet("paste_dialog.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="paste.cancel",
                tooltip="Close without starting a forward"),
    ]  # fmt: skip

    def __init__(self, options: ReadOptions, text: str = "") -> None:
        from tui_forward.profiles.importers.pasted_text import normalize_paste

        super().__init__()
        self._options = options
        self._text = normalize_paste(text).strip("\n")
        self._specs: tuple[ForwardSpec, ...] = ()
        self._preview = PlainText(id="preview")

    def compose(self) -> ComposeResult:
        """Show the input above the preview."""
        from tui_forward.tui.widgets.command_area import CommandArea

        with Vertical() as box:
            box.border_title = "Forward by command"
            box.border_subtitle = "enter Start · ctrl+j New line · esc Cancel"
            hint = "svc/web 8080:80, or kubectl port-forward commands"
            yield CommandArea(self._text, placeholder=hint, highlight_cursor_line=False, id="text")
            with VerticalScroll(can_focus=False):
                yield self._preview

    def on_mount(self) -> None:
        """Show the preview of the text to start with."""
        area: CommandArea = self.query_one("#text")  # type: ignore[assignment]
        area.move_cursor(area.document.end)
        self._read(self._text)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Update the preview."""
        self._read(event.text_area.text)

    def on_command_area_submitted(self) -> None:
        """Start the forwards of the preview."""
        if self._specs:
            self.dismiss(self._specs)

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    def _read(self, text: str) -> None:
        self._specs = ()
        if not text.strip():
            self._preview.show("Type a target and ports, or paste commands.")
            return
        from tui_forward.profiles.importers.pasted_text import read_paste

        result = read_paste(text, self._options, bare=True)
        self._specs = tuple(result.specs)
        self._preview.show("\n".join(_describe(result, has_lines="\n" in text.strip())))


def _describe(result: ImportResult, *, has_lines: bool) -> list[str]:
    """Return what is started, what differs, and what is left out."""
    from tui_forward.profiles.importers.findings import describe_reason, describe_remark

    describe = partial(describe_remark if has_lines else describe_reason, is_paste=True)
    lines = [f"✓ {describe_spec(spec)}" for spec in result.specs[:_MAX_LINES]]
    lines += [f"! {describe(one)}" for one in result.notes[:_MAX_LINES]]
    lines += [f"✗ {describe(one)}" for one in result.left_out[:_MAX_LINES]]
    if has_lines and result.found:
        lines += ["", result.summary]
    elif not result.found:
        lines.append("There is no port-forward in it.")
    return lines
