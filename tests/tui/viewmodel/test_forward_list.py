from __future__ import annotations

import pytest

from tests.support import fleet
from tui_forward.model import (
    Counters,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ProxyInfo,
    ProxySpec,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.tui.viewmodel.columns import FORWARDS
from tui_forward.tui.viewmodel.forward_list import (
    FORWARD_SORTS,
    ForwardGroup,
    ShownRanks,
    group_forwards,
)
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortColumn, SortOrder, first_order


def forward(
    number: int,
    *,
    namespace: str = "shop",
    name: str = "web",
    label: str = "",
    profile: str = "",
    proxy: str = "",
    state: ForwardState = ForwardState.READY,
    rate: float = 0.0,
    paused: bool = False,
    since: float = 0.0,
    started_at: float = 0.0,
) -> Forward:
    target = Target(
        context="here", namespace=namespace, kind=TargetKind.POD, name=name, port="http"
    )
    return Forward(
        id=f"f{number}", spec=ForwardSpec(target=target, label=label, proxy=proxy, profile=profile),
        state=state, code=ReasonCode.FORWARD_READY, reason="so",
        counters=Counters(rate_from_pod=rate), paused=paused, since=since,
        started_at=started_at,
    )  # fmt: skip


def ids(*forwards: Forward, order: SortOrder = DEFAULT_ORDER) -> list[str]:
    return list(group_forwards(forwards, order=order).keys)


def test_forwards_of_one_state_are_in_the_order_of_their_starts() -> None:
    assert ids(*(forward(number) for number in (10, 9, 1))) == ["f1", "f9", "f10"]


def test_sorted_by_name() -> None:
    forwards = [forward(1, name="web"), forward(2, name="api"), forward(3, name="db")]
    assert ids(*forwards, order=SortOrder("target")) == ["f2", "f3", "f1"]
    assert ids(*forwards, order=SortOrder("target", descending=True)) == ["f1", "f3", "f2"]


def test_problems_come_first_and_paused_last() -> None:
    forwards = [
        forward(1),
        forward(2, state=ForwardState.WAITING),
        forward(3, state=ForwardState.BLOCKED),
        forward(4, state=ForwardState.STOPPED, paused=True),
        forward(5, state=ForwardState.RECONNECTING),
    ]
    assert ids(*forwards) == ["f3", "f5", "f2", "f1", "f4"]


def test_similar_traffic_keeps_the_order() -> None:
    busiest = SortOrder("down_rate", descending=True)
    assert ids(forward(1, rate=1000), forward(2, rate=1020), order=busiest) == ["f1", "f2"]
    assert ids(forward(1, rate=10), forward(2, rate=1020), order=busiest) == ["f2", "f1"]


@pytest.mark.parametrize("column", FORWARD_SORTS, ids=lambda column: column.key)
def test_every_column_sorts_both_ways(column: SortColumn) -> None:
    forwards = fleet.forwards()
    order = first_order(column)
    one, other = ids(*forwards, order=order), ids(*forwards, order=order.reversed)
    assert sorted(one) == sorted(other) == sorted(each.id for each in forwards)
    assert one != other


def test_sort_columns_are_columns_with_letters_of_their_own() -> None:
    titled = {column.key for column in FORWARDS if column.key}
    assert {one.key for one in FORWARD_SORTS} == titled
    assert len({one.letter for one in FORWARD_SORTS}) == len(FORWARD_SORTS)


class Ranks:
    """Ranks of one forward beside a ready one, second by second."""

    def __init__(self) -> None:
        self.ranks = ShownRanks()
        self.entered = (ForwardState.READY, 0.0)

    def order(self, state: ForwardState, now: float, *, paused: bool = False) -> list[str]:
        if state is not self.entered[0]:
            self.entered = (state, now)
        forwards = [forward(1), forward(2, state=state, since=self.entered[1], paused=paused)]
        return list(group_forwards(forwards, ranks=self.ranks.update(forwards, now)).keys)


def test_a_reconnect_of_one_second_moves_no_row() -> None:
    seen = Ranks()
    states = [ForwardState.READY, ForwardState.RECONNECTING, ForwardState.READY]
    orders = [seen.order(state, float(at)) for at, state in enumerate(states * 10)]
    assert orders == [["f1", "f2"]] * 30


def test_a_longer_reconnect_moves_up_and_later_down() -> None:
    seen = Ranks()
    assert seen.order(ForwardState.READY, 0.0) == ["f1", "f2"]
    assert seen.order(ForwardState.RECONNECTING, 1.0) == ["f1", "f2"]
    assert seen.order(ForwardState.RECONNECTING, 3.9) == ["f1", "f2"]
    assert seen.order(ForwardState.RECONNECTING, 4.0) == ["f2", "f1"]
    assert seen.order(ForwardState.READY, 5.0) == ["f2", "f1"]
    assert seen.order(ForwardState.READY, 8.0) == ["f1", "f2"]


def test_a_reconnect_that_lasts_when_it_is_first_seen_moves_at_once() -> None:
    ranks = ShownRanks()
    ranks.update([forward(1), forward(2)], 100.0)
    forwards = [forward(1), forward(2, state=ForwardState.RECONNECTING, since=95.0)]
    shown = ranks.update(forwards, 100.0)
    assert group_forwards(forwards, ranks=shown).keys == ("f2", "f1")


@pytest.mark.parametrize(
    ("state", "settled"),
    [
        (ForwardState.RECONNECTING, False), (ForwardState.STARTING, False),
        (ForwardState.CONNECTING, False), (ForwardState.WAITING, True),
        (ForwardState.BLOCKED, True),
    ],
)  # fmt: skip
def test_short_reconnects_and_starts_get_no_second_line(state: ForwardState, settled: bool) -> None:
    ranks = ShownRanks()
    ranks.update([forward(1)], 10.0)
    now = forward(1, state=state, since=10.0, started_at=10.0)
    for at, expected in ((10.5, settled), (12.9, settled), (13.0, True)):
        ranks.update([now], at)
        assert ranks.is_settled(now, at) is expected


@pytest.mark.parametrize("state", [ForwardState.BLOCKED, ForwardState.WAITING])
def test_what_needs_the_user_moves_at_once(state: ForwardState) -> None:
    seen = Ranks()
    seen.order(ForwardState.READY, 0.0)
    assert seen.order(state, 0.1) == ["f2", "f1"]
    assert seen.order(ForwardState.STOPPED, 0.2, paused=True) == ["f1", "f2"]


def test_groups_have_headings_and_unlabeled_comes_last() -> None:
    forwards = [forward(1), forward(2, label="work"), forward(3, label="home"), forward(4)]
    made = group_forwards(forwards, group=ForwardGroup.LABEL)
    assert made.keys == ("#label:home", "f3", "#label:work", "f2", "#label:", "f1", "f4")
    assert made.headings["#label:"].title == "no label"


def proxy(number: int = 1) -> ProxyInfo:
    address = LocalAddress("127.0.0.1", 1079 + number)
    return ProxyInfo(id=f"p{number}", spec=ProxySpec(context="here"), listening=(address,))


def test_targets_of_a_proxy_are_a_group_after_the_others() -> None:
    forwards = [forward(1, proxy="p1"), forward(2), forward(3, proxy="p1", namespace="data")]
    made = group_forwards(forwards, proxies=[proxy()])
    assert made.keys == ("f2", "#proxy:p1", "f1", "f3")
    assert made.headings["#proxy:p1"].title == "proxy 127.0.0.1:1080"
    grouped = group_forwards(forwards, group=ForwardGroup.NAMESPACE, proxies=[proxy()])
    assert grouped.keys == ("#namespace:shop", "f2", "#proxy:p1", "f1", "f3")
    folded = group_forwards(forwards, folded={"#proxy:p1"}, proxies=[proxy()])
    assert folded.keys == ("f2", "#proxy:p1")


def test_proxy_without_targets_is_shown_unless_rows_are_filtered() -> None:
    proxies = [proxy(1), proxy(2)]
    assert group_forwards([], proxies=proxies).keys == ("#proxy:p1", "#proxy:p2")
    forwards = [forward(1, proxy="p2")]
    assert group_forwards(forwards, proxies=proxies, is_filtered=True).keys == ("#proxy:p2", "f1")


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
