"""Validation of the forward form. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from tui_forward.common.arguments import (
    format_duration_arg,
    is_loopback,
    parse_addresses,
    parse_duration_s,
    parse_port,
    parse_preconnect,
)
from tui_forward.errors import UsageError
from tui_forward.model import (
    Balance,
    DeclaredPort,
    ForwardDefaults,
    ForwardSpec,
    PortCheck,
    TransportChoice,
)
from tui_forward.tui.viewmodel.cluster_state import port_reference

_MAX_PORT = 65535
_FIRST_UNPRIVILEGED = 1024
_MAX_LABEL_LENGTH = 40


# From local addresses and port to the forward that listens there, in words; "" if none does.
PortUser = Callable[[Sequence[str], int], str]


PortKey = tuple[tuple[str, ...], int]  # local addresses and port
NO_CHECKS: Final[Mapping[PortKey, PortCheck]] = {}


class Fields(msgspec.Struct, frozen=True):
    """Texts of the form."""

    port: str  # number or name
    local: str  # empty is automatic, 0 any free port
    address: str  # separated by commas; empty is the default
    pin: bool  # whether to stay on this pod
    spread: bool  # whether all Ready pods get connections
    queue_timeout: str  # how long a connection waits for a tunnel
    half_close_timeout: str  # how long the pod may keep sending after the client closes its side
    transport: str
    label: str
    preconnect: str  # connections opened ahead of clients


class ValidatedForm(msgspec.Struct, frozen=True):
    """Result of validating a form."""

    spec: ForwardSpec | None  # None if there are problems
    problems: dict[str, str]  # by field: the problem with a hint
    notes: dict[str, str]  # by field: information for the user
    # The local port to check, where the form is valid as far as it goes.
    to_check: PortKey | None = None
    next_free: int | None = None  # the next free local port, if that one is used
    # What the fields say, also where the local port is used; None where one is invalid.
    draft: ForwardSpec | None = None


def fields_of(spec: ForwardSpec) -> Fields:
    """Return the texts of the form for a forward."""
    return Fields(
        port=spec.target.port, local="" if spec.local_port is None else str(spec.local_port),
        address=",".join(spec.addresses), pin=spec.target.pin,
        spread=spec.target.balance is Balance.SPREAD,
        queue_timeout=format_duration_arg(spec.queue_timeout_s),
        half_close_timeout=format_duration_arg(spec.half_close_timeout_s),
        transport=spec.transport.value,
        label=spec.label,
        preconnect=str(spec.preconnect or ""),
    )  # fmt: skip


def port_choices(ports: Sequence[DeclaredPort]) -> list[str]:
    """Return names or numbers of the declared ports, for suggestions."""
    return [port_reference(tuple(ports), port) for port in ports]


def validate_form(
    fields: Fields, spec: ForwardSpec, port_user: PortUser, defaults: ForwardDefaults,
    checks: Mapping[PortKey, PortCheck] = NO_CHECKS,
) -> ValidatedForm:  # fmt: skip
    """Validate a form; attributes of the spec without a field stay, empty fields get defaults.

    `checks` are what is known about local ports that others may use.
    """
    problems: dict[str, str] = {}
    notes: dict[str, str] = {}

    def parse_field(name: str, text: str, parse: Callable[[str], object]) -> object:
        try:
            return parse(text)
        except UsageError as error:
            problems[name] = f"{error.message}: {error.hint}" if error.hint else error.message
            return None

    port = parse_field("port", fields.port.strip(), _remote)
    local = parse_field("local", fields.local.strip(), _local)
    addresses: object = defaults.addresses
    if fields.address.strip():
        addresses = parse_field("address", fields.address, lambda text: parse_addresses([text]))
    queue_timeout: object = defaults.queue_timeout_s
    if fields.queue_timeout.strip():
        queue_timeout = parse_field("queue_timeout", fields.queue_timeout, parse_duration_s)
    half_close_timeout: object = defaults.half_close_timeout_s
    if fields.half_close_timeout.strip():
        text = fields.half_close_timeout
        half_close_timeout = parse_field("half_close_timeout", text, parse_duration_s)
    label = parse_field("label", fields.label, _label)
    preconnect = parse_field("preconnect", fields.preconnect.strip() or "0", parse_preconnect)
    next_free, used = None, ""
    if isinstance(local, int) and local:
        # With an invalid address, the port is checked once that is correct.
        if isinstance(addresses, tuple) and (local, addresses) != (spec.local_port, spec.addresses):
            owner = port_user(addresses, local)
            check = checks.get((addresses, local))
            used = f"used by {owner}" if owner else check.problem if check is not None else ""
            if used and check is not None:
                next_free = check.next_free
        if used:
            problems["local"] = used
        elif local < _FIRST_UNPRIVILEGED:
            notes["local"] = f"ports below {_FIRST_UNPRIVILEGED} need privileges on most systems"
    if isinstance(addresses, tuple) and not all(map(is_loopback, addresses)):
        notes["address"] = "! reachable from other machines: the pod's port is open to the network"
    to_check = None
    if isinstance(local, int) and local and isinstance(addresses, tuple):
        to_check = (addresses, local)
    draft = None
    if not problems.keys() - ({"local"} if used else set()):
        draft = msgspec.structs.replace(
            spec, target=msgspec.structs.replace(
                spec.target, port=port, pin=fields.pin,
                balance=Balance.SPREAD if fields.spread else Balance.ONE,
            ),
            local_port=local, addresses=addresses, queue_timeout_s=queue_timeout,
            half_close_timeout_s=half_close_timeout, transport=TransportChoice(fields.transport),
            label=label, preconnect=preconnect,
        )  # fmt: skip
    valid = None if problems else draft
    return ValidatedForm(valid, problems, notes, to_check, next_free, draft)


def _remote(text: str) -> str:
    if ":" in text or not text:
        raise UsageError("enter a port number or name", hint="for example 8080 or http")
    return parse_port(text).remote


def _local(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) > _MAX_PORT:
        raise UsageError(
            f'"{text}" is not a local port', hint="a number up to 65535, 0 for any free one"
        )
    return int(text)


def _label(text: str) -> str:
    label = text.strip()
    if len(label) > _MAX_LABEL_LENGTH or not all(letter.isprintable() for letter in label):
        raise UsageError(
            "the label is too long or has unprintable characters",
            hint=f"at most {_MAX_LABEL_LENGTH} letters",
        )
    return label
