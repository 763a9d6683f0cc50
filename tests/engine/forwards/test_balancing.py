from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.forwards import balancing
from tui_forward.engine.forwards.balancing import ClientAffinity, PodLoad, choose_pod

LOADS = st.builds(PodLoad, st.booleans(), st.integers(0, 5), st.integers(0, 9))


@given(st.lists(LOADS, min_size=1, max_size=8))
def test_chosen_pod_is_the_least_loaded(loads: list[PodLoad]) -> None:
    chosen = loads[choose_pod(loads)]
    accepting = [load for load in loads if not load.is_refusing] or loads
    assert chosen in accepting
    fewest = min(load.connections for load in accepting)
    assert chosen.connections == fewest
    ties = [load for load in accepting if load.connections == fewest]
    assert chosen.chosen_at == min(load.chosen_at for load in ties)


@given(st.integers(1, 6), st.integers(0, 40))
def test_connections_differ_by_one_at_most(pods: int, connections: int) -> None:
    loads = [PodLoad(False, 0, 0)] * pods
    for number in range(1, connections + 1):
        chosen = choose_pod(loads)
        loads[chosen] = PodLoad(False, loads[chosen].connections + 1, number)
    counts = [load.connections for load in loads]
    assert max(counts) - min(counts) <= 1


def test_equal_pods_take_turns() -> None:
    chosen_at = [0, 0, 0]
    order = []
    for number in range(1, 7):
        pod = choose_pod([PodLoad(False, 0, at) for at in chosen_at])
        chosen_at[pod] = number
        order.append(pod)
    assert order == [0, 1, 2, 0, 1, 2]


def test_client_keeps_its_pod_while_it_connects() -> None:
    affinity: ClientAffinity[str] = ClientAffinity()
    assert affinity.find("a", 10, now=0) is None
    affinity.record("a", "web-1", now=0)
    assert affinity.find("a", 10, now=9) == "web-1"
    affinity.record("a", "web-1", now=9)
    assert affinity.find("a", 10, now=18) == "web-1"
    assert affinity.find("a", 10, now=19) is None


def test_number_of_clients_is_bounded() -> None:
    affinity: ClientAffinity[int] = ClientAffinity()
    for number in range(balancing.MAX_CLIENTS + 5):
        affinity.record(f"client {number}", number, now=0)
        affinity.record("client 0", 0, now=0)
    assert affinity.find("client 0", 10, now=0) == 0
    assert affinity.find("client 1", 10, now=0) is None
    last = balancing.MAX_CLIENTS + 4
    assert affinity.find(f"client {last}", 10, now=0) == last
