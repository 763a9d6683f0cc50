from __future__ import annotations

import msgspec

from tests.support import fleet
from tui_forward.model import Forward
from tui_forward.tui.viewmodel.start_outcome import Outcome, is_settled, start_outcome


def named(name: str) -> Forward:
    return next(one for one in fleet.forwards() if one.spec.target.name == name)


def test_one_sentence_for_each_outcome() -> None:
    ready, taken = named("api-gateway"), named("notification-dispatcher-smtp")
    waiting = named("billing-worker-invoice-retries")
    assert start_outcome([ready], fleet.NOW) == Outcome(
        "deploy/api-gateway:http ready on 127.0.0.1:8080", "information"
    )
    assert start_outcome([taken], fleet.NOW) == Outcome(
        "svc/notification-dispatcher-smtp:smtp blocked: port used by java (48213). e changes it.",
        "error",
    )
    assert start_outcome([waiting], fleet.NOW) == Outcome(
        "deploy/billing-worker-invoice-retries:metrics waiting: pod crash-loops · 17 restarts",
        "warning",
    )
    assert start_outcome([], fleet.NOW) is None


def test_many_are_one_sentence() -> None:
    ready = named("api-gateway")
    assert start_outcome([ready, ready], 0.0) == Outcome("2 forwards ready", "information")
    found = start_outcome(fleet.forwards(), fleet.NOW)
    assert found is not None
    assert found.text.startswith("9 of 14 forwards ready · 2 blocked · 1 reconnecting")
    assert found.severity == "error"


def test_settled_forwards() -> None:
    assert is_settled(named("api-gateway"))
    assert is_settled(named("notification-dispatcher-smtp"))
    assert is_settled(named("feature-flag-admin-console-ui"))
    waiting = named("billing-worker-invoice-retries")
    assert not is_settled(waiting)
    assert is_settled(msgspec.structs.replace(waiting, paused=True))
