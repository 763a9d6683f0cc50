"""What the form says beside each field, and its command."""

from __future__ import annotations

import shlex

import pytest
from msgspec.structs import replace

from tests.tui.samples import PORTS
from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.model import DeclaredPort, ForwardDefaults, PortCheck, TransportChoice
from tui_forward.tui.viewmodel.form_fields import (
    Fields,
    PortKey,
    ValidatedForm,
    fields_of,
    validate_form,
)
from tui_forward.tui.viewmodel.form_notes import (
    LABELS,
    describe_port,
    field_notes,
    last_transport,
    obstacle,
    wrap_command,
    wrapped_notes,
)

SPEC = forward(1).spec
CHECKS: dict[PortKey, PortCheck] = {
    (("localhost",), 2525): PortCheck(port=2525, problem="used by java (48213)", next_free=2526)
}


def form_of(**typed: object) -> tuple[ValidatedForm, Fields]:
    fields = replace(fields_of(SPEC), **typed)
    form = validate_form(fields, SPEC, lambda _addresses, _port: "", ForwardDefaults(), CHECKS)
    return form, fields


def test_used_port_names_its_owner_and_the_next_free_one() -> None:
    form, fields = form_of(local="2525")
    assert field_notes(form, fields, PORTS)["local"] == [
        "✗ used by java (48213)", "ctrl+n use 2526, the next free port",
    ]  # fmt: skip
    assert form.next_free == 2526
    assert obstacle(form, fields) == "not possible: local port 2525 is used"


@pytest.mark.parametrize(
    ("typed", "field", "note", "why"),
    [
        ({}, "label", "groups and filters forwards", ""),
        ({}, "queue_timeout", "while no pod is ready", ""),
        ({}, "transport", "the fastest that works", ""),
        ({"transport": "websocket"}, "transport", "SPDY in a WebSocket, as kubectl from 1.31", ""),
        ({"local": "", "port": "5432"}, "local", "empty: 5432, or the next free one", ""),
        ({"local": "", "port": "http"}, "local", "empty: 8080, or the next free one", ""),
        ({"local": "", "port": "web"}, "local",
         "empty: its own number from 1024 on, or the next free one", ""),
        ({"local": "", "port": "80"}, "local", "empty: 8080, or the next free one", ""),
        ({"address": "localhost"}, "address", "127.0.0.1 and ::1", ""),
        ({"address": "127.0.0.2"}, "address", "", ""),
        ({"local": "80"}, "local",
         "ports below 1024 need privileges on most systems", ""),
        ({"local": "x"}, "local",
         '✗ "x" is not a local port: a number up to 65535, 0 for any free one',
         "not possible: local port"),
        ({"port": "a:b"}, "port", "✗ enter a port number or name: for example 8080 or http",
         "not possible: port"),
        ({"half_close_timeout": "soon", "label": "x" * 50}, "label",
         "✗ the label is too long or has unprintable characters: at most 40 letters",
         "not possible: label"),
    ],
)  # fmt: skip
def test_notes(typed: dict[str, object], field: str, note: str, why: str) -> None:
    form, fields = form_of(**typed)
    notes = field_notes(form, fields, PORTS)
    assert notes.keys() == dict(LABELS).keys()
    assert notes[field] == ([note] if note else [])
    assert obstacle(form, fields) == why
    for width in (1, 20, 38):
        lines = wrapped_notes(notes, width)
        assert all(found for found in lines.values()), "each field has a line"
        assert all(len(line) <= max(8, width) for found in lines.values() for line in found)


def test_note_of_auto_is_the_transport_that_worked_last() -> None:
    """That of the forward of the same cluster and user that was ready last."""
    one, two, other = forward(1), forward(2), forward(3)
    target = replace(other.spec.target, context="elsewhere")
    other = replace(other, since=9.0, transport=TransportChoice.CHANNELS)
    other = replace(other, spec=replace(other.spec, target=target))
    one = replace(one, since=5.0, transport=TransportChoice.SPDY)
    two = replace(two, since=7.0, transport=TransportChoice.WEBSOCKET)
    cluster = one.spec.target.cluster_key
    assert last_transport([one, two, other], cluster, "prod!") == "WebSocket worked last on prod!"
    assert last_transport([one, other], cluster, "prod!") == "SPDY worked last on prod!"
    assert last_transport([replace(one, transport=None), other], cluster, "prod!") == ""
    form, fields = form_of()
    assert field_notes(form, fields, PORTS, "SPDY worked last on x")["transport"] == [
        "SPDY worked last on x"
    ]
    form, fields = form_of(transport="spdy")
    notes = field_notes(form, fields, PORTS, "SPDY worked last on x")
    assert notes["transport"] == ["as kubectl before 1.31"]


def test_declared_ports_are_described() -> None:
    assert describe_port("http", PORTS) == "8080/TCP"
    assert describe_port("9090", PORTS) == "9090/TCP"
    assert describe_port("dns", PORTS) == "53/UDP"
    assert describe_port("7", PORTS) == "not declared"
    assert describe_port("7", ()) == ""
    assert describe_port("", PORTS) == ""
    service = DeclaredPort(number=80, name="web", target="http")
    assert describe_port("web", (service,)) == "80/TCP, pod port http"


@pytest.mark.parametrize("width", [1, 30, 74, 200])
def test_wrapped_command_is_the_same_command(width: int) -> None:
    command = "tui-forward forward --context 'a b' -n shop -l 'app in (a, b)' 8080:http --x=\"y z\""
    wrapped = wrap_command(command, width)
    assert shlex.split(wrapped.replace("\\\n", "")) == shlex.split(command)
    assert all(len(line) <= width for line in wrapped.split("\n")) or width < 40
    assert wrap_command("", width) == ""
