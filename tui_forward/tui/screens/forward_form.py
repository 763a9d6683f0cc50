"""The form of one forward: everything that can be said about it, with the likely filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from tui_forward.common.kubectl_command import format_command
from tui_forward.model import DeclaredPort, ForwardDefaults, ForwardSpec, TransportChoice
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.form_fields import (
    Fields,
    ValidatedForm,
    fields_of,
    port_choices,
    validate_form,
)

_TRANSPORTS = {
    TransportChoice.AUTO: "auto: the fastest that works",
    TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket",
    TransportChoice.CHANNELS: "legacy channels",
}
# Field, what it is called, what stands there when it is empty if that is not a default.
_TEXTS = (
    ("port", "port", "number or name"),
    ("local", "local port", "chosen for you; 0 is any free one"),
    ("address", "address", ""),
    ("queue_timeout", "queue timeout", ""),
    ("half_close_timeout", "half-close timeout", ""),
    ("label", "label", "a word of your own, to group and find it by"),
)


class ForwardForm(Dialog[ForwardSpec | None]):
    """Asks for one forward; answers with its spec, or None.

    Args:
        spec: What it begins with.
        defaults: For fields that are left empty.
        ports: What the target declares, for suggestions.
        owner: What the pod belongs to, in words; empty if there is nothing to follow.
        taken: Who of our own has a local port, in words, or "".
        title: Of the box.
    """

    CSS_PATH = stylesheet("forward_form.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="form.cancel", tooltip="Start nothing"),
        Binding("ctrl+s", "submit", "Start", priority=True, id="form.submit",
                tooltip="Start the forward"),
    ]  # fmt: skip

    def __init__(
        self,
        spec: ForwardSpec,
        *,
        defaults: ForwardDefaults,
        ports: Sequence[DeclaredPort] = (),
        owner: str = "",
        taken: Callable[[int], str] = lambda _port: "",
        title: str = "new forward",
    ) -> None:
        super().__init__()
        self._spec = spec
        self._defaults = defaults
        self._ports = tuple(ports)
        self._owner = owner
        self._taken = taken
        self._title = title
        began, empty = fields_of(spec), fields_of(defaults.spec(spec.target))
        self._inputs = {
            name: Input(
                getattr(began, name), placeholder=hint or getattr(empty, name), compact=True,
                id=name,
                suggester=SuggestFromList(port_choices(ports)) if name == "port" else None,
            )
            for name, _, hint in _TEXTS
        }  # fmt: skip
        self._says = {name: Static("", classes="says", markup=False) for name, _, _ in _TEXTS}
        self._pin = Checkbox(
            f"pin: stay with this pod, do not follow {owner}", spec.target.pin, compact=True
        )
        self._transport = Select(
            [(words, choice.value) for choice, words in _TRANSPORTS.items()],
            value=spec.transport.value, allow_blank=False, compact=True, id="transport",
        )  # fmt: skip
        self._start = Button("start", id="start", variant="primary", compact=True)
        self._preview = Static("", id="preview", markup=False)
        self._judged = ValidatedForm(None, {}, {})

    def compose(self) -> ComposeResult:
        """One line for each field, what is to be said about it below."""
        target = self._spec.target
        with Vertical() as box:
            box.border_title = (
                f"{self._title}: {target.namespace}/{target.kind.value}/{target.name}"
            )
            box.border_subtitle = "enter  start · esc  cancel"
            with VerticalScroll(can_focus=False):
                for name, title, _ in _TEXTS:
                    with Horizontal(classes="field"):
                        yield Label(title)
                        yield self._inputs[name]
                    yield self._says[name]
                with Horizontal(classes="field"):
                    yield Label("transport")
                    yield self._transport
                if self._owner:
                    yield self._pin
                yield self._preview
            with Horizontal(id="buttons"):
                yield self._start
                yield Button("cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Begin where most is typed."""
        self._inputs["local"].focus()
        self._judge()

    def on_input_changed(self) -> None:
        """Say at once what is wrong."""
        self._judge()

    def on_select_changed(self) -> None:
        """As for texts."""
        self._judge()

    def on_checkbox_changed(self) -> None:
        """As for texts."""
        self._judge()

    def on_input_submitted(self) -> None:
        """Enter starts it from any field."""
        self.action_submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """As the keys."""
        if event.button.id == "start":
            self.action_submit()
        else:
            self.action_cancel()

    def action_submit(self) -> None:
        """Start it, unless something is wrong."""
        if self._judged.spec is not None:
            self.dismiss(self._judged.spec)
            return
        wrong = next(name for name, _, _ in _TEXTS if name in self._judged.problems)
        self._inputs[wrong].focus()

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    def _judge(self) -> None:
        values = {name: widget.value for name, widget in self._inputs.items()}
        fields = Fields(**values, pin=self._pin.value, transport=str(self._transport.value))
        judged = self._judged = validate_form(fields, self._spec, self._taken, self._defaults)
        for name, says in self._says.items():
            problem = judged.problems.get(name)
            text = f"✗ {problem}" if problem else judged.notes.get(name, "")
            says.update(text)
            says.set_class(bool(problem), "-wrong")
            says.display = bool(text)
        self._start.disabled = judged.spec is None
        self._preview.update(
            format_command(judged.spec, self._defaults) if judged.spec is not None else ""
        )
