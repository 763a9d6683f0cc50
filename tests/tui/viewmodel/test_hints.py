from __future__ import annotations

from msgspec.structs import replace

from tests.support import fleet
from tests.tui.samples import view
from tui_forward.errors import ForwardError
from tui_forward.model import (
    ApiHealth,
    ForwardWarning,
    Reason,
    ReasonCode,
    ResourceStatus,
    Snapshot,
)
from tui_forward.reasons import reason_hint
from tui_forward.tui.viewmodel.hints import (
    error_hint,
    hops_with_keys,
    snapshot_with_keys,
    view_with_keys,
)

NOT_READY = Reason(code=ReasonCode.POD_NOT_READY, pod="web-1")


def test_everything_that_the_session_returns_names_keys() -> None:
    hint = reason_hint(NOT_READY)
    ready = replace(
        fleet.forwards()[6],
        warnings=(ForwardWarning(code=NOT_READY.code, reason="not Ready", hint=hint),),
    )
    health = ApiHealth(
        context="a", ok=False, code=ReasonCode.AUTH_FAILED,
        hint=reason_hint(Reason(code=ReasonCode.AUTH_FAILED)),
    )  # fmt: skip
    snapshot = snapshot_with_keys(
        Snapshot(version=1, at=0, forwards=(*fleet.forwards(), ready), health=(health,))
    )
    hints = [one.hint for one in snapshot.forwards]
    hints += [one.hint for one in snapshot.health]
    hints += [one.hint for one in snapshot.forwards[-1].warnings]
    hints += [one.hint for one in hops_with_keys(fleet.hops())]
    status = ResourceStatus(resource="pods", code=NOT_READY.code, hint=hint)
    seen = view_with_keys(replace(view(), resources=(status,), health=health))
    assert seen.health is not None
    hints += [seen.health.hint, *(one.hint for one in seen.resources)]
    hints.append(error_hint(ForwardError(NOT_READY)))
    assert not [one for one in hints if "kubectl" in one]
    assert "run aws sso login --profile prod, then press r" in hints
    assert sum("press" in one.lower() for one in hints) >= 7
