"""What is typed into the form of a forward, understood or not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from tui_forward.common.arguments import is_loopback, parse_addresses, parse_duration_s, parse_port
from tui_forward.errors import UsageError
from tui_forward.model import DeclaredPort, ForwardDefaults, ForwardSpec, TransportChoice
from tui_forward.tui.viewmodel.cluster_state import port_reference

_LAST_PORT = 65535
_PRIVILEGED = 1024
_LABEL = 40


@dataclass(frozen=True, slots=True)
class Fields:
    """The form as it stands, as texts.

    Attributes:
        port: Of the target: number or name.
        local: Local port; empty is the program's choice, 0 any.
        address: Local addresses, separated by commas; empty is the default, as below.
        pin: Stay with this very pod.
        queue_timeout: How long connections are held without a tunnel.
        half_close_timeout: How long the pod may be silent after the client's end.
    """

    port: str
    local: str
    address: str
    pin: bool
    queue_timeout: str
    half_close_timeout: str
    transport: str
    label: str


@dataclass(frozen=True, slots=True)
class ValidatedForm:
    """What became of it.

    Attributes:
        spec: The forward, None as long as something is wrong.
        problems: By field: what is wrong, with a hint.
        notes: By field: what the person should know.
    """

    spec: ForwardSpec | None
    problems: dict[str, str]
    notes: dict[str, str]


def fields_of(spec: ForwardSpec) -> Fields:
    """The form for a forward."""
    return Fields(
        port=spec.target.port,
        local="" if spec.local_port is None else str(spec.local_port),
        address=",".join(spec.addresses),
        pin=spec.target.pin,
        queue_timeout=f"{spec.queue_timeout_s:g}",
        half_close_timeout=f"{spec.half_close_timeout_s:g}",
        transport=spec.transport.value,
        label=spec.label,
    )


def port_choices(ports: Sequence[DeclaredPort]) -> list[str]:
    """How the declared ports are called, for suggestions."""
    return [port_reference(tuple(ports), port) for port in ports]


def validate_form(
    fields: Fields, spec: ForwardSpec, taken: Callable[[int], str], defaults: ForwardDefaults
) -> ValidatedForm:
    """Understand a form.

    Args:
        fields: As typed.
        spec: What the form began with: whatever it does not ask for stays.
        taken: Who of ours has a local port, in words, or "".
        defaults: For what is left empty.
    """
    problems: dict[str, str] = {}
    notes: dict[str, str] = {}

    def understood(name: str, text: str, parse: Callable[[str], object]) -> object:
        try:
            return parse(text)
        except UsageError as error:
            problems[name] = f"{error.message}: {error.hint}" if error.hint else error.message
            return None

    port = understood("port", fields.port.strip(), _remote)
    local = understood("local", fields.local.strip(), _local)
    addresses: object = defaults.addresses
    if fields.address.strip():
        addresses = understood("address", fields.address, lambda text: parse_addresses([text]))
    queue_timeout: object = defaults.queue_timeout_s
    if fields.queue_timeout.strip():
        queue_timeout = understood("queue_timeout", fields.queue_timeout, parse_duration_s)
    half_close_timeout: object = defaults.half_close_timeout_s
    if fields.half_close_timeout.strip():
        half_close_timeout = understood(
            "half_close_timeout", fields.half_close_timeout, parse_duration_s
        )
    label = understood("label", fields.label, _label)
    if isinstance(local, int) and local:
        if (who := taken(local)) and local != spec.local_port:
            problems["local"] = f"{local} is taken by {who}"
        elif local < _PRIVILEGED:
            notes["local"] = f"ports below {_PRIVILEGED} need privileges on most systems"
    if local is None and "local" not in problems:
        notes["local"] = _choice(port)
    if isinstance(addresses, tuple) and not all(map(is_loopback, addresses)):
        notes["address"] = "! other machines can reach it: the pod's port is open to the network"
    if problems:
        return ValidatedForm(None, problems, notes)
    made = msgspec.structs.replace(
        spec,
        target=msgspec.structs.replace(spec.target, port=port, pin=fields.pin),
        local_port=local,
        addresses=addresses,
        queue_timeout_s=queue_timeout,
        half_close_timeout_s=half_close_timeout,
        transport=TransportChoice(fields.transport),
        label=label,
    )
    return ValidatedForm(made, problems, notes)


def _choice(port: object) -> str:
    if isinstance(port, str) and port.isdecimal() and int(port) >= _PRIVILEGED:
        return f"empty: {port}, or the next free one"
    return "empty: the port's own number if it is free and 1024 or above, else the next free one"


def _remote(text: str) -> str:
    if ":" in text or not text:
        raise UsageError("a port is a number or a name", hint="for example 8080 or http")
    return parse_port(text).remote


def _local(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) > _LAST_PORT:
        raise UsageError(
            f'"{text}" is not a local port', hint="a number up to 65535, 0 for any free one"
        )
    return int(text)


def _label(text: str) -> str:
    label = text.strip()
    if len(label) > _LABEL or not all(letter.isprintable() for letter in label):
        raise UsageError("a label is short and plain", hint=f"at most {_LABEL} letters")
    return label
