from __future__ import annotations

import pytest

from tests.support.order import LONG, ordered, part_sizes

# The last path of each group: "tests/e2e/" is that of the end-to-end tests in no other group.
PATHS = [group[-1] for group in LONG]
IDS = [
    f"{path}test_it[{number}]" for path in ("tests/a/", *PATHS, "tests/z/") for number in range(9)
]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7, 16, 200])
def test_each_test_runs_once_and_groups_stay_together(workers: int) -> None:
    found = ordered(IDS, IDS, workers)
    assert sorted(found) == sorted(IDS)
    for path in PATHS:
        places = [place for place, test in enumerate(found) if test.startswith(f"{path}test_it")]
        assert places == list(range(places[0], places[0] + 9))
        assert [found[place] for place in places] == [
            test for test in IDS if test.startswith(f"{path}test_it")
        ]


def test_most_parts_begin_with_long_tests() -> None:
    short = [f"tests/a/test_it[{number}]" for number in range(400)]
    ids = sorted([*short, *IDS])
    found = ordered(ids, ids, 4)
    first, second, third, fourth = (
        found[sum(part_sizes(len(ids), 4)[:part]) :] for part in range(4)
    )
    assert first[0].startswith(LONG[0])
    assert second[0].startswith(LONG[1])
    assert third[0].startswith(LONG[2])
    assert not fourth[0].startswith(tuple(PATHS))


def test_too_many_long_tests_for_a_part_are_kept() -> None:
    ids = [f"{PATHS[0]}test_it[{number}]" for number in range(40)] + ["tests/a/test_it"]
    assert sorted(ordered(ids, ids, 8)) == sorted(ids)


def test_parts_are_as_those_of_worksteal() -> None:
    assert part_sizes(10, 4) == [2, 2, 3, 3]
    assert part_sizes(3, 4) == [0, 1, 1, 1]
