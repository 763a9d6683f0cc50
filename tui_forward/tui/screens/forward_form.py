"""Form of one forward, with defaults filled in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widgets import Button, Checkbox, Input, Select

from tui_forward.common.kubectl_command import format_command
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    DeclaredPort,
    ForwardDefaults,
    ForwardSpec,
    PortCheck,
    TransportChoice,
)
from tui_forward.tui.plain_text import PlainLabel, PlainText, plain
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.form_fields import (
    Fields,
    PortKey,
    PortUser,
    ValidatedForm,
    fields_of,
    port_choices,
    validate_form,
)

CheckPort = Callable[[tuple[str, ...], int], Awaitable[PortCheck]]

_CHECK_DELAY_S = 0.1
_MAX_CHECKS = 100
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
        Binding("ctrl+n", "next_free_port", "Next free port", priority=True, id="form.next-port",
                tooltip="Use the next free local port"),
        Binding("ctrl+s", "submit", "Start", priority=True, id="form.submit",
                tooltip="Start the forward"),
    ]  # fmt: skip

    def __init__(
        self, spec: ForwardSpec, *, defaults: ForwardDefaults, ports: Sequence[DeclaredPort] = (),
        owner: str = "", port_user: PortUser = lambda _addresses, _port: "",
        title: str = "new forward", check_port: CheckPort | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._spec = spec
        self._defaults = defaults  # for fields that are left empty
        self._ports = tuple(ports)
        self._owner = owner  # name of the pod's owner; empty if there is nothing to follow
        # Returns which other forward uses a local port, in words, or "".
        self._port_user = port_user
        self._title = title
        self._check_port = check_port
        self._checks: dict[PortKey, PortCheck] = {}
        self._submit_when_checked = False
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
            box.border_subtitle = "enter  start · ctrl+n  next free port · esc  cancel"
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
            key = self._form.to_check
            if self._check_port is not None and key is not None and key not in self._checks:
                self._submit_when_checked = True
                self._check(key, delay_s=0.0)
            else:
                self.dismiss(self._form.spec)
            return
        invalid = next(name for name, _, _ in _TEXTS if name in self._form.problems)
        self._inputs[invalid].focus()

    @work(group="check port", exclusive=True)
    async def _check(self, key: PortKey, *, delay_s: float) -> None:
        """Ask who uses a local port, a moment after the last key, and validate again."""
        if self._check_port is None:
            return
        await asyncio.sleep(delay_s)
        try:
            check = await self._check_port(*key)
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
    @on(Checkbox.Changed)
    def _validate(self) -> None:
        values = {name: widget.value for name, widget in self._inputs.items()}
        fields = Fields(**values, pin=self._pin.value, transport=str(self._transport.value))
        form = self._form = validate_form(
            fields, self._spec, self._port_user, self._defaults, self._checks
        )
        if form.to_check is not None and form.to_check not in self._checks:
            self._check(form.to_check, delay_s=_CHECK_DELAY_S)
        for name, note in self._notes.items():
            problem = form.problems.get(name)
            text = f"✗ {problem}" if problem else form.notes.get(name, "")
            note.show(text)
            note.set_class(bool(problem), "-invalid")
            note.display = bool(text)
        self._start.disabled = form.spec is None
        self._start.label = plain("start" if form.spec is not None else "not possible")
        command = format_command(form.spec, self._defaults) if form.spec is not None else ""
        self._preview.show(command)
