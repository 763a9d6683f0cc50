"""Form of one forward, with defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widgets import Button, Checkbox, Input, Select

from tui_forward.common.kubectl_command import format_command
from tui_forward.model import DeclaredPort, ForwardDefaults, ForwardSpec, TransportChoice
from tui_forward.tui.plain_text import PlainLabel, PlainText, plain
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.form_fields import (
    Fields,
    PortUser,
    ValidatedForm,
    fields_of,
    port_choices,
    validate_form,
)

_TRANSPORTS = {
    TransportChoice.AUTO: "auto: fastest available", TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket", TransportChoice.CHANNELS: "legacy channels",
}  # fmt: skip
# Field, label, placeholder if it is not the default value.
_TEXTS = (
    ("port", "port", "number or name"),
    ("local", "local port", "same as the port if free; 0 for any free port"),
    ("address", "address", ""),
    ("queue_timeout", "queue timeout", ""),
    ("half_close_timeout", "half-close timeout", ""),
    ("label", "label", "your own word, to group and filter by"),
)


class ForwardForm(Dialog[ForwardSpec | None]):
    """Fields of a forward; its result is the spec, or None."""

    CSS_PATH = stylesheet("forward_form.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="form.cancel",
                tooltip="Close without starting a forward"),
        Binding("ctrl+s", "submit", "Start", priority=True, id="form.submit",
                tooltip="Start the forward"),
    ]  # fmt: skip

    def __init__(
        self, spec: ForwardSpec, *, defaults: ForwardDefaults, ports: Sequence[DeclaredPort] = (),
        owner: str = "", port_user: PortUser = lambda _addresses, _port: "",
        title: str = "new forward",
    ) -> None:  # fmt: skip
        super().__init__()
        self._spec = spec
        self._defaults = defaults  # for fields that are left empty
        self._ports = tuple(ports)
        self._owner = owner  # name of the pod's owner; empty if there is nothing to follow
        # Returns which other forward uses a local port, in words, or "".
        self._port_user = port_user
        self._title = title
        initial, empty = fields_of(spec), fields_of(defaults.spec(spec.target))
        self._inputs = {
            name: Input(
                getattr(initial, name), placeholder=hint or getattr(empty, name), compact=True,
                id=name,
                suggester=SuggestFromList(port_choices(ports)) if name == "port" else None,
            )
            for name, _, hint in _TEXTS
        }  # fmt: skip
        self._notes = {name: PlainText(classes="note") for name, _, _ in _TEXTS}
        self._pin = Checkbox(
            plain(f"pin: stay on this pod, do not follow {owner}"), spec.target.pin, compact=True
        )
        self._transport = Select(
            [(text, choice.value) for choice, text in _TRANSPORTS.items()],
            value=spec.transport.value, allow_blank=False, compact=True, id="transport",
        )  # fmt: skip
        self._start = Button("start", id="start", variant="primary", compact=True)
        self._preview = PlainText(id="preview")
        self._form = ValidatedForm(None, {}, {})

    def compose(self) -> ComposeResult:
        """Show a line for each field, with its problem or note below."""
        target = self._spec.target
        with Vertical() as box:
            name = f"{target.namespace}/{target.kind.value}/{target.name}"
            box.border_title = plain(f"{self._title}: {name}")
            box.border_subtitle = "enter  start · esc  cancel"
            with VerticalScroll(can_focus=False):
                for name, label, _ in _TEXTS:
                    with Horizontal(classes="field"):
                        yield PlainLabel(label)
                        yield self._inputs[name]
                    yield self._notes[name]
                with Horizontal(classes="field"):
                    yield PlainLabel("transport")
                    yield self._transport
                if self._owner:
                    yield self._pin
                yield self._preview
            with Horizontal(id="buttons"):
                yield self._start
                yield Button("cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Start in the field that is changed most often."""
        self._inputs["local"].focus()
        self._validate()

    def on_input_submitted(self) -> None:
        """Start on Enter in any field."""
        self.action_submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Start or cancel."""
        if event.button.id == "start":
            self.action_submit()
        else:
            self.action_cancel()

    def action_submit(self) -> None:
        """Start a valid forward, or go to the first invalid field."""
        if self._form.spec is not None:
            self.dismiss(self._form.spec)
            return
        invalid = next(name for name, _, _ in _TEXTS if name in self._form.problems)
        self._inputs[invalid].focus()

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _validate(self) -> None:
        values = {name: widget.value for name, widget in self._inputs.items()}
        fields = Fields(**values, pin=self._pin.value, transport=str(self._transport.value))
        form = self._form = validate_form(fields, self._spec, self._port_user, self._defaults)
        for name, note in self._notes.items():
            problem = form.problems.get(name)
            text = f"✗ {problem}" if problem else form.notes.get(name, "")
            note.show(text)
            note.set_class(bool(problem), "-invalid")
            note.display = bool(text)
        self._start.disabled = form.spec is None
        command = format_command(form.spec, self._defaults) if form.spec is not None else ""
        self._preview.show(command)
