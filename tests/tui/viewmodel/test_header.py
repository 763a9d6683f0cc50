from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tui_forward.errors import TransportError
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    Context,
    Counters,
    ForwardState,
    OtherEngine,
    ProxyInfo,
    ProxySpec,
    Reason,
    ReasonCode,
    Snapshot,
)
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.header import HeaderContent, build_header, count_states

HEALTH = ApiHealth(context="staging", ok=True, latency_s=0.004)


def cluster(name: str = "staging", health: ApiHealth | None = HEALTH) -> ClusterState:
    state = ClusterState(CatalogScope(name, "shop"))
    state.health = health
    return state


def snapshot(**more: object) -> Snapshot:
    expired = ApiHealth(context="prod-eu", ok=False, error="token expired")
    return Snapshot(version=1, at=0.0, forwards=fleet.forwards(), health=(HEALTH, expired), **more)  # type: ignore[arg-type]


def text(header: HeaderContent, width: int) -> str:
    def join(cells: object) -> str:
        return "".join(cell.gap + cell.text for cell in cells)  # type: ignore[attr-defined]

    left, right = join(header.left), join(header.right)
    return (left + right.rjust(width - 2 - cell_len(left)))[2:]


COUNTS = "■2 ◐1 ◔1 ●9 ‖1"


@pytest.mark.parametrize(
    ("width", "shown", "hidden"),
    [
        (80, [f"14 fwd: {COUNTS}", "API ● "], ["tui-forward", " ms"]),
        (100, [f"14 forwards: {COUNTS}", "API ● 4"], ["tui-forward"]),
        (120, ["tui-forward  staging ▾  ns: shop ▾", COUNTS], ["blocked"]),
        (160, ["■ 2 blocked  ◐ 1 reconnecting  ◔ 1 waiting  ● 9 ready  ‖ 1 paused"], []),
        (200, ["prod-eu ✗ token expired", "■ 2 blocked"], []),
        (150, [COUNTS], ["✗", "blocked"]),
    ],
)
def test_forms_by_width(width: int, shown: list[str], hidden: list[str]) -> None:
    found = text(build_header(cluster(), snapshot(), width), width)
    assert all(part in found for part in shown), found
    assert not any(part in found for part in hidden), found


@given(
    st.integers(60, 220), st.text(min_size=1, max_size=60),
    st.sampled_from(["", "no route to 10.0.0.1 " * 5]), st.booleans(),
)  # fmt: skip
def test_counts_are_always_whole(width: int, name: str, error: str, is_lost: bool) -> None:
    health = ApiHealth(context=name, ok=False, error=error, hint="VPN?") if error else HEALTH
    lost = TransportError(Reason(code=ReasonCode.ENGINE_NOT_RESPONDING, timeout_s=3.0))
    header = build_header(cluster(name, health), snapshot(), width, lost if is_lost else None)
    shown = text(header, width)
    assert "■" in shown
    cells = (*header.left, *header.right)
    counted = [cell for cell in cells if cell.action.startswith("filter_state('")]
    assert [cell.text.strip("■◐◔●‖ ").split(" ")[0] for cell in counted[1:]] == list("21191")
    if cell_len(name) == len(name):
        assert cell_len(shown) <= max(width, 90)


def proxied(*states: ForwardState, reason: str = "") -> Snapshot:
    """Return the scene's forwards, and a cluster proxy with targets in these states."""
    proxy = ProxyInfo(id="p1", spec=ProxySpec(context="staging"), reason=reason)
    first = fleet.forwards()[4]
    spec = msgspec.structs.replace(first.spec, proxy=proxy.id)
    targets = (
        msgspec.structs.replace(first, id=f"t{number}", spec=spec, state=state)
        for number, state in enumerate(states)
    )
    found = snapshot(proxies=(proxy,), totals=Counters(connections_open=11, rate_from_pod=102e6))
    return msgspec.structs.replace(found, forwards=(*found.forwards, *targets))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, f"14 fwd: {COUNTS}  proxy 3: ■1"),
        (100, f"14 forwards: {COUNTS}  proxy 3: ■1"),
        (120, f"14 forwards: {COUNTS}  proxy 3: ■1"),
        (200, "‖ 1 paused  proxy 3 targets: ■ 1 blocked"),
    ],
)
def test_targets_of_a_proxy_are_counted_apart(width: int, shown: str) -> None:
    states = (ForwardState.READY, ForwardState.BLOCKED, ForwardState.READY)
    found = text(build_header(cluster(), proxied(*states), width), width)
    assert shown in found
    assert cell_len(found) <= width - 2
    assert "staging ▾  ns: shop ▾" in found
    assert "11 conns" in found


@pytest.mark.parametrize(
    ("states", "shown"),
    [((), "proxy 0"), ((ForwardState.READY,) * 2, "proxy 2"), ((ForwardState.READY,), "proxy 1")],
)
def test_proxy_without_problems_is_a_number(states: tuple[ForwardState, ...], shown: str) -> None:
    header = build_header(cluster(), proxied(*states), 120)
    assert [(cell.text, cell.style) for cell in header.left][-1] == (shown, "")
    header = build_header(cluster(), proxied(*states, reason="no permission"), 120)
    assert [(cell.text, cell.style) for cell in header.left][-1] == (shown, "warn")


def test_wide_header_names_the_other_contexts_in_trouble() -> None:
    naming = ContextNaming(ProtectedContexts(["*prod*"]))
    shown = text(build_header(cluster(), snapshot(), 200, naming=naming), 200)
    assert "API ● 4 ms  prod-eu! ✗ token expired  " in shown
    # A forward that its API server blocks tells it, too; the context on view tells it itself.
    forwards = Snapshot(version=1, at=0.0, forwards=fleet.forwards())
    header = build_header(cluster(), forwards, 200, naming=naming)
    assert "prod-eu! ✗ token expired" in text(header, 200)
    assert ("prod-eu!", "protected") in {(cell.text, cell.style) for cell in header.left}
    assert "✗" not in text(build_header(cluster("prod-eu"), forwards, 200), 200)
    assert "prod-eu! ▾" in text(build_header(cluster("prod-eu"), forwards, 120, naming=naming), 120)


def test_context_has_its_last_part() -> None:
    known = ("gke_acme_west1_shop", "aws:eks:cluster/prod", "b/prod")
    contexts = [Context(name=name, cluster="") for name in known]
    naming = ContextNaming(ProtectedContexts((), contexts))
    for context, shown in (("gke_acme_west1_shop", "shop ▾"), ("b/prod", "b/prod ▾")):
        header = build_header(cluster(context), Snapshot(version=1, at=0.0), 120, naming=naming)
        assert shown in [cell.text for cell in header.left]


@pytest.mark.parametrize(
    ("left_s", "renews", "shown"),
    [
        (899, False, ("credentials end in 14m59s", "warn")), (900, False, None),
        (600, True, None), (-1, False, ("credentials expired", "bad")), (None, False, None),
    ],
)  # fmt: skip
def test_credentials_that_end_soon_are_amber(
    left_s: float | None, renews: bool, shown: tuple[str, str] | None
) -> None:
    health = ApiHealth(
        context="staging", ok=True, renews_credentials=renews,
        credentials_end_at=None if left_s is None else 1000 + left_s,
    )  # fmt: skip
    header = build_header(cluster(health=health), Snapshot(version=1, at=1000.0), 140)
    found = [(cell.text, cell.style) for cell in header.left if "credentials" in cell.text]
    assert found == ([] if shown is None else [shown])


def test_error_gives_way_to_counts() -> None:
    health = ApiHealth(context="staging", ok=False, error="no route to 10.0.0.1", hint="VPN?")
    shown = text(build_header(cluster(health=health), snapshot(), 140), 140)
    assert "API ✗ no route to 10.0.0.1 → VPN?" in shown
    assert COUNTS in shown
    short = text(build_header(cluster(health=health), snapshot(), 90), 90)
    assert COUNTS in short
    assert "…" in short


def test_forwards_of_other_engines_are_counted() -> None:
    others = (OtherEngine(pid=7, kubeconfig="b.yaml", forwards=9),)
    shown = text(build_header(cluster(), snapshot(other_engines=others), 120), 120)
    assert "14 forwards (9 elsewhere): ■2" in shown


def test_states_are_counted_worst_first() -> None:
    counts = count_states(fleet.forwards())
    assert list(counts.items()) == [
        ("blocked", 2), ("reconnecting", 1), ("waiting", 1), ("ready", 9), ("paused", 1),
    ]  # fmt: skip
    assert count_states([]) == {}


def test_api_server_that_is_unknown_down_or_not_verified() -> None:
    def shown(health: ApiHealth | None) -> dict[str, str]:
        header = build_header(cluster(health=health), Snapshot(version=1, at=0.0), 120)
        return {cell.text.strip(): cell.style for cell in header.left}

    assert shown(None)["API …"] == "dim"
    assert shown(ApiHealth(context="staging", ok=False))["API ✗"] == "bad"
    insecure = ApiHealth(context="staging", ok=True, insecure=True)
    assert shown(insecure)["staging ▾ insecure"] == "warn"


def test_other_contexts_in_trouble_are_marked() -> None:
    lab = ApiHealth(context="lab", ok=False, error="gone", insecure=True)
    found = build_header(cluster(), Snapshot(version=1, at=0.0, health=(HEALTH, lab)), 200)
    assert "lab insecure" in [cell.text for cell in found.left]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_mark_of_an_insecure_context_is_never_cut(width: int) -> None:
    scope = CatalogScope("arn:aws:eks:eu-west-1:123456789012:cluster/production", "payments")
    state = cluster(health=ApiHealth(context=scope.context, ok=True, insecure=True))
    state.scope = scope
    header = build_header(state, Snapshot(version=1, at=0.0), width)
    (name,) = (cell.text for cell in header.left if cell.action == "context")
    assert name.endswith(" insecure")


def test_protected_contexts_are_marked() -> None:
    def shown(name: str) -> dict[str, str]:
        header = build_header(
            cluster(name),
            snapshot(),
            200,
            naming=ContextNaming(ProtectedContexts(["prod*"])),
        )
        return {cell.text: cell.style for cell in header.left}

    assert shown("staging") | {"staging ▾": "strong", "prod-eu!": "protected"} == shown("staging")
    assert shown("staging")["✗ token expired"] == "bad"
    assert shown("prod-us")["prod-us! ▾"] == "protected"


def test_slow_api_server_is_amber_then_red() -> None:
    def styles(latency_s: float) -> list[str]:
        health = ApiHealth(context="staging", ok=True, latency_s=latency_s)
        header = build_header(cluster(health=health), Snapshot(version=1, at=0.0), 120)
        return [cell.style for cell in header.left if cell.action == "log"]

    assert styles(0.004) == ["dim", "ok", ""]
    assert styles(0.6) == ["dim", "warn", "warn"]
    assert styles(2.5) == ["dim", "bad", "bad"]
