"""Form of one forward, with defaults filled in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Self

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Select

from tui_forward.common.kubectl_command import format_command
from tui_forward.common.target_names import object_name
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    Balance,
    DeclaredPort,
    ForwardDefaults,
    ForwardSpec,
    PortCheck,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.tui.plain_text import PlainText, plain, styled
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import KeptScreen
from tui_forward.tui.textual_internals.widgets import FixedLayoutInput
from tui_forward.tui.viewmodel.context_names import context_cell
from tui_forward.tui.viewmodel.form_fields import (
    Fields,
    PortKey,
    PortUser,
    ValidatedForm,
    fields_of,
    port_choices,
    validate_form,
)
from tui_forward.tui.viewmodel.form_notes import (
    LABELS,
    TRANSPORT_NAMES,
    field_notes,
    obstacle,
    wrap_command,
    wrapped_notes,
)
from tui_forward.tui.widgets.check_box import CheckBox
from tui_forward.tui.widgets.text_lines import TextLines

CheckPort = Callable[[tuple[str, ...], int], Awaitable[PortCheck]]

_CONTEXT_STYLES = {"protected": "$protected", "warn": "$text-warning"}
_CHECKS = "check port"  # group of workers
_CHECK_DELAY_S = 0.1
_MAX_CHECKS = 100
_NOTES_WIDTH = 38  # until the form is laid out


class FormContent(msgspec.Struct, frozen=True):
    """What a form shows."""

    spec: ForwardSpec
    defaults: ForwardDefaults  # for fields that are left empty
    ports: tuple[DeclaredPort, ...] = ()
    owner: str = ""  # name of the pod's owner; empty if there is nothing to follow
    # Returns which other forward uses a local port, in words, or "".
    port_user: PortUser = lambda _addresses, _port: ""
    title: str = "Forward"
    check_port: CheckPort | None = None
    context: str = ""  # its name as it is shown
    worked: str = ""  # which transport, in words


_NO_CONTENT = FormContent(
    ForwardSpec(target=Target(context="", namespace="", kind=TargetKind.POD, name="", port="80")),
    ForwardDefaults(),
)  # fmt: skip


class ForwardForm(Dialog[ForwardSpec | None], KeptScreen[ForwardSpec | None]):
    """Fields of a forward; its result is the spec, or None."""

    AUTO_FOCUS = "#local"  # the field that is changed most often
    CSS_PATH = stylesheet("forward_form.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="form.cancel",
                tooltip="Close without starting a forward"),
        Binding("ctrl+n", "next_free_port", "Next free port", priority=True, id="form.next-port",
                tooltip="Use the next free local port"),
        Binding("ctrl+s", "submit", "Start", priority=True, id="form.submit",
                tooltip="Start the forward"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._content = _NO_CONTENT
        self._is_filled = False  # whether the fields have to be set when the form opens
        self._checks: dict[PortKey, PortCheck] = {}
        self._submit_when_checked = False
        self._inputs = {
            name: FixedLayoutInput(compact=True, id=name)
            for name, _ in LABELS if name != "transport"
        }  # fmt: skip
        self._transport = Select(
            [(text, choice.value) for choice, text in TRANSPORT_NAMES.items()],
            value=TransportChoice.AUTO.value, allow_blank=False, compact=True, id="transport",
        )  # fmt: skip
        self._pin = CheckBox(plain("stay on this pod; do not follow its replacement"), compact=True)
        self._spread = CheckBox(
            plain("spread new connections over all Ready pods"), compact=True, id="spread"
        )
        self._lines: dict[str, list[str]] = {}  # notes of each field as they are shown
        self._box = Vertical()
        self._box.border_subtitle = "enter Start · tab Next field · esc Cancel"
        self._scroll = VerticalScroll(can_focus=False)
        self._where = PlainText(id="where")
        # Which pods: for a pod whether to stay on it, for others whether to use all.
        self._pin_line = Horizontal(id="pin")
        self._spread_line = Horizontal(id="balance")
        self._labels = TextLines(self._label_lines, id="labels")
        self._notes = TextLines(self._note_lines, id="notes")
        self._start = Button("Start", id="start", variant="primary", compact=True)
        self._obstacle = PlainText(id="obstacle")
        self._preview = PlainText(id="preview")
        self._form = ValidatedForm(None, {}, {})

    def fill(self, content: FormContent) -> Self:
        """Set what the form shows when it opens; return the form."""
        self._content = content
        self._is_filled = True
        return self

    def compose(self) -> ComposeResult:
        """Show labels, fields and notes side by side, over the command and the button."""
        with self._box:
            with self._scroll:
                yield self._where
                with Horizontal(id="fields"):
                    yield self._labels
                    with Vertical(id="inputs"):
                        yield from self._inputs.values()
                        yield self._transport
                    yield self._notes
                with self._pin_line:
                    yield PlainText(styled(f"{'pin':>12}   ", "$text-muted"))
                    yield self._pin
                with self._spread_line:
                    yield PlainText(styled(f"{'balance':>12}   ", "$text-muted"))
                    yield self._spread
                yield self._preview
            with Horizontal(id="buttons"):
                yield self._start
                yield self._obstacle

    def _label_lines(self, _width: int) -> list[Content]:
        lines = []
        for name, label in LABELS:
            lines.append(styled(f"{label:>12}", "$text-muted"))
            lines += [plain("")] * (len(self._lines.get(name, [""])) - 1)
        return lines

    def _note_lines(self, _width: int) -> list[Content]:
        lines = []
        for name, _ in LABELS:
            style = "$text-error" if name in self._form.problems else "$text-muted"
            lines += [styled(line, style) for line in self._lines.get(name, [""])]
        return lines

    def on_mount(self) -> None:
        """Fill the fields, which are mounted now."""
        self._show_content()

    def on_screen_resume(self) -> None:
        """Fill the fields before the form is drawn, unless another screen was over it."""
        if self._is_filled:
            self._show_content()

    def _show_content(self) -> None:
        self._is_filled = False
        self.workers.cancel_group(self, _CHECKS)
        self._checks.clear()
        self._submit_when_checked = False
        content = self._content
        target = content.spec.target
        self._box.border_title = plain(f"{content.title} {object_name(target)}")
        context = content.context or target.context
        style = _CONTEXT_STYLES.get(context_cell(context).style, "")
        where = styled(f"{'context':>12}   ", "$text-muted") + styled(context, style)
        self._where.show(where + plain(f" · namespace {target.namespace}"))
        self._pin_line.display = bool(content.owner)
        self._spread_line.display = target.kind is not TargetKind.POD
        initial, empty = fields_of(content.spec), fields_of(content.defaults.spec(target))
        with self.prevent(Input.Changed, Select.Changed, CheckBox.Changed):
            for name, widget in self._inputs.items():
                widget.suggester = None
                widget.value = getattr(initial, name)
                widget.cursor_position = len(widget.value)
                widget.placeholder = getattr(empty, name) if name != "port" else ""
            self._transport.value = content.spec.transport.value
            self._transport.expanded = False
            self._pin.value = target.pin
            self._spread.value = target.balance is Balance.SPREAD
        self._inputs["port"].suggester = SuggestFromList(port_choices(content.ports))
        self._inputs["local"].select_all()
        if self.is_active:  # else it is built ahead
            self.set_focus(self._inputs["local"], scroll_visible=False)
        self._scroll.scroll_to(y=0, animate=False)
        self._validate()

    def on_input_submitted(self) -> None:
        """Start on Enter in any field."""
        self.action_submit()

    def on_button_pressed(self) -> None:
        """Start."""
        self.action_submit()

    def on_resize(self) -> None:
        """Wrap notes and command for the new width."""
        self.call_after_refresh(self._show_notes)

    def action_submit(self) -> None:
        """Start a valid forward, or go to the first invalid field."""
        if self._form.spec is not None:
            key = self._form.to_check
            if self._content.check_port is not None and key is not None and key not in self._checks:
                self._submit_when_checked = True
                self._check(key, delay_s=0.0)
            else:
                self.dismiss(self._form.spec)
            return
        invalid = next(name for name in self._inputs if name in self._form.problems)
        self._inputs[invalid].focus()

    @work(group=_CHECKS, exclusive=True)
    async def _check(self, key: PortKey, *, delay_s: float) -> None:
        """Ask who uses a local port, a moment after the last key, and validate again."""
        check_port = self._content.check_port
        if check_port is None:
            return
        await asyncio.sleep(delay_s)
        try:
            check = await check_port(*key)
        except TuiForwardError:
            check = PortCheck(port=key[1])  # the start will tell
        if len(self._checks) >= _MAX_CHECKS:
            self._checks.clear()
        self._checks[key] = check
        self._validate()
        if self._submit_when_checked and key == self._form.to_check:
            self._submit_when_checked = False
            self.action_submit()

    def action_next_free_port(self) -> None:
        """Fill in the next free local port after the one that is used."""
        key = self._form.to_check
        check = self._checks.get(key) if key is not None else None
        if check is not None and check.next_free is not None:
            self._inputs["local"].value = str(check.next_free)
        elif key is not None:
            self.notify("Still looking for a free port", severity="warning")
        else:
            self.notify("Type a local port first; an empty field takes the next free one",
                        severity="warning")  # fmt: skip

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    @on(Input.Changed)
    @on(Select.Changed)
    @on(CheckBox.Changed)
    def _validate(self) -> None:
        fields = self._fields()
        form = self._form = validate_form(
            fields, self._content.spec, self._content.port_user, self._content.defaults,
            self._checks,
        )  # fmt: skip
        if form.to_check is not None and form.to_check not in self._checks:
            self._check(form.to_check, delay_s=_CHECK_DELAY_S)
        self._start.disabled = form.spec is None
        self._obstacle.show(obstacle(form, fields))
        self._show_notes()

    def _fields(self) -> Fields:
        values = {name: widget.value for name, widget in self._inputs.items()}
        return Fields(
            **values, pin=self._pin.value, spread=self._spread.value,
            transport=str(self._transport.value),
        )  # fmt: skip

    def _show_notes(self) -> None:
        """Show notes and command; a field is as high as its note."""
        form = self._form
        width = self._notes.content_size.width or _NOTES_WIDTH
        notes = field_notes(form, self._fields(), self._content.ports, self._content.worked)
        lines = wrapped_notes(notes, width)
        if lines != self._lines:
            self._lines = lines
            for name, widget in self._inputs.items():
                widget.styles.margin = (0, 0, len(lines[name]) - 1, 0)
            self._labels.show()
        self._notes.show()
        draft = form.draft
        command = format_command(draft, self._content.defaults) if draft is not None else ""
        self._preview.show(wrap_command(command, max(20, self._preview.content_size.width or 74)))
