"""Texts of toasts: one sentence, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tests.support import fleet
from tui_forward.model import Forward, ForwardState
from tui_forward.tui.viewmodel.toasts import (
    ToastText,
    blocked_at_start_toast,
    changed_toast,
    engine_notice_toast,
    is_settled,
    restored_text,
    restored_toast,
    start_toast,
    stopped_text,
)


def named(name: str) -> Forward:
    return next(one for one in fleet.forwards() if one.spec.target.name == name)


READY, TAKEN = named("api-gateway"), named("notification-dispatcher-smtp")
REDIS, EXPIRED = named("redis-cache"), named("payments-ledger-reconciliation")
WAITING, RETRIES = named("billing-worker-invoice-retries"), named("inventory-sync-scheduler-jobs")


@pytest.mark.parametrize(
    ("forwards", "text", "severity"),
    [
        ([READY], "deploy/api-gateway:http ready on 127.0.0.1:8080", "information"),
        (
            [TAKEN],
            "svc/notification-dispatcher-smtp:smtp blocked on :2525: port used by java (48213). "
            "e changes it.",
            "error",
        ),
        (
            [EXPIRED],
            "svc/payments-ledger-reconciliation:grpc blocked: token expired 12 min ago. "
            "run aws sso login --profile prod, then press r.",
            "error",
        ),
        (
            [WAITING],
            "deploy/billing-worker-invoice-retries:metrics waiting: pod crash-loops · 17 restarts",
            "warning",
        ),
        ([named("feature-flag-admin-console-ui")],
         "deploy/feature-flag-admin-console-ui:http paused", "information"),
        ([READY, REDIS], "2 forwards ready", "information"),
        ([READY, TAKEN], "1 of 2 forwards ready · 1 blocked. ! goes to the next.", "error"),
        ([READY, WAITING], "1 of 2 forwards ready · 1 waiting. ! goes to the next.", "warning"),
    ],
)  # fmt: skip
def test_outcome_of_a_start(forwards: Sequence[Forward], text: str, severity: str) -> None:
    toast = start_toast(forwards, fleet.NOW)
    assert toast is not None
    assert (toast.text, toast.severity) == (text, severity)


@pytest.mark.parametrize(
    ("forwards", "text", "severity"),
    [
        ([REDIS], "sts/redis-cache:redis restored", "information"),
        ([REDIS, READY], "2 forwards restored", "information"),
        ([REDIS, READY, TAKEN, EXPIRED],
         "4 forwards restored · 2 blocked. ! goes to the next.", "error"),
        ([REDIS, WAITING], "2 forwards restored · 1 waiting. ! goes to the next.", "warning"),
    ],
)  # fmt: skip
def test_restored_forwards(forwards: Sequence[Forward], text: str, severity: str) -> None:
    toast = restored_toast(forwards)
    assert toast is not None
    assert (toast.text, toast.severity) == (text, severity)


def test_nothing_started_or_restored_is_no_toast() -> None:
    assert start_toast([], 0.0) is None
    assert restored_toast([]) is None
    assert blocked_at_start_toast([], 0.0) is None


def test_stop_and_undo() -> None:
    redis = REDIS.spec.target
    assert stopped_text([redis]) == "Stopped sts/redis-cache:redis. u restores it."
    assert stopped_text([redis, redis]) == "Stopped 2 forwards. u restores them."
    assert restored_text([redis]) == "sts/redis-cache:redis restored"
    assert restored_text([redis, redis]) == "2 forwards restored"


def all_as(forwards: Sequence[Forward], **changes: object) -> list[Forward]:
    return [msgspec.structs.replace(one, **changes) for one in forwards]


@pytest.mark.parametrize(
    ("forwards", "text", "severity"),
    [
        ([RETRIES], "deploy/inventory-sync-scheduler-jobs:http reconnecting: pod replaced",
         "warning"),
        ([RETRIES] * 5, "prod-eu!: 5 forwards reconnecting", "warning"),
        ([READY], "deploy/api-gateway:http ready again after 12s", "information"),
        ([READY, REDIS], "prod-eu!: 2 forwards ready again", "information"),
        ([EXPIRED] * 3, "prod-eu!: 3 forwards blocked: token expired 12 min ago. "
         "run aws sso login --profile prod, then press r.", "error"),
        ([EXPIRED, TAKEN], "prod-eu!: 2 forwards blocked. ! goes to the next.", "error"),
    ],
)  # fmt: skip
def test_change_of_state(forwards: Sequence[Forward], text: str, severity: str) -> None:
    toast = changed_toast(forwards, fleet.NOW, "prod-eu!", outage_s=12.0)
    assert (toast.text, toast.severity) == (text, severity)
    assert toast.shown_elsewhere
    assert toast.topic


def test_all_that_are_blocked_at_start_have_one_toast() -> None:
    many = blocked_at_start_toast([EXPIRED, TAKEN], fleet.NOW)
    assert many == ToastText("2 forwards are blocked. ! goes to the next.", "error",
                         shown_elsewhere=True)  # fmt: skip
    one = blocked_at_start_toast([TAKEN], fleet.NOW)
    assert one is not None
    assert "java (48213)" in one.text


def test_what_the_engine_did() -> None:
    assert engine_notice_toast("shop", "local port 1 → 2", is_problem=False) == ToastText(
        "Profile shop: local port 1 → 2", shown_elsewhere=True
    )
    assert engine_notice_toast("", "the disk is full", is_problem=True) == ToastText(
        "Engine: the disk is full", "warning"
    )


def test_settled_forwards() -> None:
    assert is_settled(READY)
    assert is_settled(TAKEN)
    assert is_settled(named("feature-flag-admin-console-ui"))
    assert not is_settled(WAITING)
    assert is_settled(msgspec.structs.replace(WAITING, paused=True))
    assert not is_settled(msgspec.structs.replace(WAITING, state=ForwardState.STARTING))
