"""The order of tests on several workers: those that wait for processes run first.

`--dist worksteal` gives each worker an equal part of the list, and what a worker does not get to is
taken from the end of its part. So long tests are at the beginning of parts. Not all parts begin
with them: they wait often, and meanwhile the other workers keep the processors busy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

# Groups of folders and modules, each with fixtures (a cluster) that one worker sets up once; a test
# belongs to the first that fits. The first three groups take about equally long.
LONG = (
    (
        "tests/e2e/test_bad_input.py",
        "tests/e2e/test_completion.py",
        "tests/e2e/test_dashboard.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_forward.py",
    ),
    ("tests/endurance/",),
    ("tests/e2e/",),
    ("tests/test_session_on_cluster.py",),
    ("tests/minicluster/",),
    ("tests/test_connections_on_cluster.py",),
    ("tests/containerd/",),
    ("tests/test_screenshots.py",),
    ("tests/catalog/test_embedded_cluster.py",),
)

T = TypeVar("T")


def part_sizes(count: int, workers: int) -> list[int]:
    """Return how many of `count` tests each worker gets at the start."""
    sizes: list[int] = []
    for left in range(workers, 0, -1):
        sizes.append((count - sum(sizes)) // left)
    return sizes


def ordered(tests: Sequence[T], ids: Sequence[str], workers: int) -> list[T]:
    """Return tests in the order for a number of workers; `ids` are their node ids.

    Tests of the same group stay together, in their order.
    """
    parts: list[list[T]] = [[] for _ in range(workers)]
    starts = max(1, workers * 3 // 4)
    short: list[T] = []
    long: list[list[T]] = [[] for _ in LONG]
    for test, node_id in zip(tests, ids, strict=True):
        groups = (
            group for group, paths in zip(long, LONG, strict=True) if node_id.startswith(paths)
        )
        next(groups, short).append(test)
    for number, group in enumerate(long):
        parts[number % starts] += group
    rest = iter(short)
    for part, size in zip(parts, part_sizes(len(tests), workers), strict=True):
        part += itertools.islice(rest, max(0, size - len(part)))
    return [test for part in parts for test in part] + list(rest)
