from __future__ import annotations

import pytest

from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import hop_hint, reason_hint
from tui_forward.reasons.key_hints import KEY_HINTS, key_hint
from tui_forward.reasons.tables import ENTRIES


@pytest.mark.parametrize("code", ReasonCode)
def test_no_hint_of_the_dashboard_is_a_command(code: ReasonCode) -> None:
    for reason in (
        Reason(code=code),
        Reason(code=code, namespace="shop", pod="web-1", object="deploy/web", node="a", name="x",
               container="main", has_previous_log=True),
    ):  # fmt: skip
        for hint in (reason_hint(reason), hop_hint(reason)):
            shown = key_hint(code, hint)
            assert not any(word in shown for word in ("kubectl", "tui-forward")), shown
            assert bool(shown) == bool(hint)


def test_a_shell_keeps_its_commands() -> None:
    reason = Reason(code=ReasonCode.POD_CRASH_LOOPING, namespace="shop", pod="web-1")
    assert "kubectl logs -n shop web-1" in reason_hint(reason)
    assert key_hint(reason.code, reason_hint(reason)).startswith("Press l ")


def test_a_hint_of_the_place_where_it_occurred_stays() -> None:
    hint = "run aws sso login --profile prod, then press r"
    assert key_hint(ReasonCode.AUTH_PLUGIN_FAILED, hint) == hint
    assert key_hint(ReasonCode.AUTH_TOKEN_EXPIRED, hint) == hint
    assert key_hint(None, "wait") == "wait"
    assert key_hint(ReasonCode.POD_CRASH_LOOPING, "") == ""


def test_key_hints_are_for_codes_that_have_a_hint() -> None:
    assert not [code for code in KEY_HINTS if not ENTRIES[code].hint]


def test_hint_with_what_a_forward_does_is_known_to_the_dashboard() -> None:
    reason = Reason(code=ReasonCode.AUTH_FAILED)
    assert reason_hint(reason).endswith("; waiting forwards resume automatically")
    assert key_hint(reason.code, reason_hint(reason)).startswith("Press L ")
