"""What the form says beside each field, and the command below. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from tui_forward.model import ClusterKey, DeclaredPort, Forward, TransportChoice
from tui_forward.tui.viewmodel.entry_rows import predicted_local_port
from tui_forward.tui.viewmodel.form_fields import Fields, ValidatedForm

# Field and label, in the order of the form.
LABELS: Final = (
    ("port", "port"), ("local", "local port"), ("address", "address"), ("label", "label"),
    ("queue_timeout", "queue"), ("half_close_timeout", "half-close"), ("preconnect", "preconnect"),
    ("transport", "transport"),
)  # fmt: skip
_NOTES: Final = {
    "label": "groups and filters forwards", "queue_timeout": "while no pod is ready",
    "half_close_timeout": "the pod may keep sending",
    "preconnect": "connections opened ahead of clients",
}  # fmt: skip
_TRANSPORTS: Final = {
    TransportChoice.AUTO: "the fastest that works", TransportChoice.SPDY: "as kubectl before 1.31",
    TransportChoice.WEBSOCKET: "SPDY in a WebSocket, as kubectl from 1.31",
    TransportChoice.CHANNELS: "a WebSocket for each connection",
}  # fmt: skip
TRANSPORT_NAMES: Final = {
    TransportChoice.AUTO: "auto", TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket", TransportChoice.CHANNELS: "channels",
}  # fmt: skip
_WORD: Final = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


def field_notes(
    form: ValidatedForm, fields: Fields, ports: Sequence[DeclaredPort], worked: str = ""
) -> dict[str, list[str]]:
    """Return the notes of each field; a problem begins with `✗`.

    `worked` says which transport `auto` would try first; empty if that is not known.
    """
    transport = TransportChoice(fields.transport)
    first = worked if transport is TransportChoice.AUTO else ""
    explanations = {
        **_NOTES, "port": describe_port(fields.port, ports),
        "local": "" if fields.local.strip() else _automatic_port(fields.port, ports),
        "address": "127.0.0.1 and ::1" if fields.address.strip() == "localhost" else "",
        "transport": first or _TRANSPORTS[transport],
    }  # fmt: skip
    notes: dict[str, list[str]] = {}
    for name, _ in LABELS:
        problem = form.problems.get(name)
        note = f"✗ {problem}" if problem else form.notes.get(name) or explanations.get(name, "")
        notes[name] = [note] if note else []
    if form.next_free is not None:
        notes["local"].append(f"ctrl+n use {form.next_free}, the next free port")
    return notes


def last_transport(forwards: Iterable[Forward], cluster: ClusterKey, shown: str) -> str:
    """Return `SPDY worked last on staging`, as the forwards of a cluster tell; else ""."""
    used = [
        one
        for one in forwards
        if one.transport is not None and one.spec.target.cluster_key == cluster
    ]
    if not used:
        return ""
    latest = max(used, key=lambda one: one.since)
    return f"{TRANSPORT_NAMES[latest.transport or TransportChoice.AUTO]} worked last on {shown}"


def wrapped_notes(notes: dict[str, list[str]], width: int) -> dict[str, list[str]]:
    """Return the lines of each field in a width, at least one."""
    return {
        name: [line for note in found for line in textwrap.wrap(note, max(8, width))] or [""]
        for name, found in notes.items()
    }


def describe_port(text: str, ports: Sequence[DeclaredPort]) -> str:
    """Return `2525/TCP, pod port 2525` for a declared port."""
    for port in ports:
        if text.strip() in (port.name, str(port.number)):
            target = f", pod port {port.target}" if port.target else ""
            return f"{port.number}/{port.protocol.value}{target}"
    return "not declared" if text.strip() and ports else ""


def _automatic_port(text: str, ports: Sequence[DeclaredPort]) -> str:
    """Return what an empty local port takes: `empty: 8080, or the next free one`."""
    text = text.strip()
    named = next((port.number for port in ports if text == port.name), 0)
    number = int(text) if text.isascii() and text.isdecimal() else named
    if number:
        return f"empty: {predicted_local_port(number, ())}, or the next free one"
    return "empty: its own number from 1024 on, or the next free one"


def obstacle(form: ValidatedForm, fields: Fields) -> str:
    """Return why a forward cannot be started, in few words; "" if it can."""
    name = next((name for name, _ in LABELS if name in form.problems), "")
    if not name:
        return ""
    if name == "local" and form.to_check is not None:
        return f"not possible: local port {fields.local.strip()} is used"
    return f"not possible: {dict(LABELS)[name]}"


def wrap_command(command: str, width: int) -> str:
    """Return a command in lines of a width that a shell reads as one."""
    lines: list[str] = []
    for word in _WORD.findall(command):
        if lines and len(lines[-1]) + 1 + len(word) <= width - 2:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}" if lines else word)
    return " \\\n".join(lines)
