from __future__ import annotations

from tui_forward.model import (
    Counters,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.tui.viewmodel.forward_list import ForwardGroup, ForwardSort, group_forwards


def forward(
    number: int,
    *,
    namespace: str = "shop",
    name: str = "web",
    label: str = "",
    profile: str = "",
    state: ForwardState = ForwardState.READY,
    rate: float = 0.0,
    paused: bool = False,
) -> Forward:
    target = Target(
        context="here", namespace=namespace, kind=TargetKind.POD, name=name, port="http"
    )
    return Forward(
        id=f"f{number}", spec=ForwardSpec(target=target, label=label, profile=profile),
        state=state, code=ReasonCode.FORWARD_READY, reason="so",
        counters=Counters(rate_from_pod=rate), paused=paused,
    )  # fmt: skip


def ids(*forwards: Forward, sort: ForwardSort) -> list[str]:
    return list(group_forwards(forwards, sort=sort).keys)


def test_started_order_is_numeric() -> None:
    forwards = [forward(number) for number in (10, 9, 1)]
    assert ids(*forwards, sort=ForwardSort.STARTED) == ["f1", "f9", "f10"]


def test_sorted_by_name() -> None:
    forwards = [forward(1, name="web"), forward(2, name="api"), forward(3, namespace="data")]
    assert ids(*forwards, sort=ForwardSort.NAME) == ["f3", "f2", "f1"]


def test_problems_come_first_and_paused_last() -> None:
    forwards = [
        forward(1),
        forward(2, state=ForwardState.WAITING),
        forward(3, state=ForwardState.BLOCKED),
        forward(4, state=ForwardState.STOPPED, paused=True),
        forward(5, state=ForwardState.RECONNECTING),
    ]
    assert ids(*forwards, sort=ForwardSort.PROBLEMS) == ["f3", "f5", "f2", "f1", "f4"]


def test_similar_traffic_keeps_the_order() -> None:
    assert ids(forward(1, rate=1000), forward(2, rate=1020), sort=ForwardSort.TRAFFIC) == [
        "f1",
        "f2",
    ]
    assert ids(forward(1, rate=10), forward(2, rate=1020), sort=ForwardSort.TRAFFIC) == ["f2", "f1"]


def test_groups_have_headings_and_unlabeled_comes_last() -> None:
    forwards = [forward(1), forward(2, label="work"), forward(3, label="home"), forward(4)]
    made = group_forwards(forwards, group=ForwardGroup.LABEL)
    assert made.keys == ("#label:home", "f3", "#label:work", "f2", "#label:", "f1", "f4")
    assert made.headings["#label:"].title == "no label"


def test_team_profiles_are_named_by_folder() -> None:
    forwards = [
        forward(1),
        forward(2, profile="shop"),
        forward(3, profile="/w/api/.tui-forward.yaml"),
    ]
    made = group_forwards(forwards, group=ForwardGroup.PROFILE)
    assert made.keys == (
        "#profile:api", "f3", "#profile:shop", "f2", "#profile:", "f1",
    )  # fmt: skip
    assert made.headings["#profile:"].title == "no profile"


def test_folded_group_keeps_heading_and_members() -> None:
    forwards = [forward(1), forward(2, namespace="data")]
    made = group_forwards(forwards, group=ForwardGroup.NAMESPACE, folded={"#namespace:shop"})
    assert made.keys == ("#namespace:data", "f2", "#namespace:shop")
    assert [one.id for one in made.headings["#namespace:shop"].members] == ["f1"]


def test_filtered_group_has_no_heading() -> None:
    forwards = [forward(1), forward(2, namespace="data")]
    made = group_forwards(
        forwards,
        group=ForwardGroup.NAMESPACE,
        matches=lambda one: one.spec.target.namespace == "data",
    )
    assert made.keys == ("#namespace:data", "f2")
