from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from tests.tui.samples import PORTS
from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.model import Balance, ForwardDefaults, ForwardSpec, TransportChoice
from tui_forward.tui.viewmodel.form_fields import (
    ValidatedForm,
    fields_of,
    port_choices,
    validate_form,
)

SPEC = forward(1).spec
DEFAULTS = ForwardDefaults(addresses=("127.0.0.1",), queue_timeout_s=60.0, half_close_timeout_s=1.0)


def judged(spec: ForwardSpec = SPEC, /, **typed: object) -> ValidatedForm:
    def taken(addresses: Sequence[str], port: int) -> str:
        held = port == 8081 and bool({"127.0.0.1", "localhost"} & set(addresses))
        return "the forward to shop/api:http" if held else ""

    fields = replace(fields_of(spec), **typed)
    return validate_form(fields, spec, taken, DEFAULTS)


def test_unchanged_form_is_the_same_forward() -> None:
    assert judged().spec == SPEC
    full = msgspec.structs.replace(
        SPEC,
        local_port=9000,
        addresses=("127.0.0.1", "::1"),
        queue_timeout_s=90.0,
        half_close_timeout_s=0.5,
        transport=TransportChoice.SPDY,
        label="work",
        preconnect=4,
        preconnect_age_s=20.0,
    )
    assert judged(full).spec == full


def test_all_fields() -> None:
    made = judged(
        port="metrics",
        local="0",
        address="127.0.0.1, ::1",
        pin=True,
        spread=True,
        queue_timeout="1m",
        half_close_timeout="500ms",
        transport="websocket",
        label=" work ",
        preconnect=" 3 ",
    ).spec
    assert made == ForwardSpec(
        target=msgspec.structs.replace(
            SPEC.target, port="metrics", pin=True, balance=Balance.SPREAD
        ),
        local_port=0,
        addresses=("127.0.0.1", "::1"),
        queue_timeout_s=60.0,
        half_close_timeout_s=0.5,
        transport=TransportChoice.WEBSOCKET,
        label="work",
        preconnect=3,
    )
    assert judged(made, preconnect="").spec == msgspec.structs.replace(made, preconnect=0)


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("port", "", "port number or name"),
        ("port", "1:2", "port number or name"),
        ("port", "99999", "out of range"),
        ("local", "x", "not a local port"),
        ("local", "70000", "not a local port"),
        ("local", "8081", "used by the forward to shop/api"),
        ("address", "nowhere", "not an address"),
        ("queue_timeout", "soon", "not a duration"),
        ("half_close_timeout", "-1", "not a duration"),
        ("preconnect", "17", "use 0 to 16"),
        ("preconnect", "some", "use 0 to 16"),
        ("label", "x" * 41, "too long"),
        ("label", "a\x1b[31m", "unprintable"),
    ],
)
def test_problems_are_reported_per_field(field: str, text: str, words: str) -> None:
    found = judged(**{field: text})
    assert found.spec is None
    assert list(found.problems) == [field]
    assert words in found.problems[field]


def test_edited_forward_may_keep_its_port() -> None:
    own = msgspec.structs.replace(SPEC, local_port=8081)
    assert judged(own).spec == own


def test_notes() -> None:
    assert "other machines" in judged(address="0.0.0.0").notes["address"]
    assert "privileges" in judged(local="80").notes["local"]
    assert judged(local="8081").next_free is None


def test_draft_is_what_the_fields_say_also_with_a_used_port() -> None:
    used = judged(local="8081")
    assert used.spec is None
    assert used.draft == msgspec.structs.replace(SPEC, local_port=8081)
    assert judged(local="8081", label="x" * 41).draft is None
    assert judged(local="x").draft is None
    valid = judged(local="8082")
    assert valid.draft == valid.spec is not None


def test_choices() -> None:
    assert port_choices(PORTS) == ["http", "metrics", "dns"]


def test_empty_fields_are_defaults() -> None:
    made = judged(address="", queue_timeout=" ", half_close_timeout="").spec
    assert made == DEFAULTS.spec(SPEC.target)


def test_port_of_another_loopback_address_is_free() -> None:
    assert judged(local="8081").problems.keys() == {"local"}
    assert not judged(local="8081", address="127.0.0.2").problems
    spec = msgspec.structs.replace(SPEC, local_port=8081, addresses=("127.0.0.2",))
    assert judged(spec, address="127.0.0.1").problems.keys() == {"local"}
    assert not judged(spec).problems
