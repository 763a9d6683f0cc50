from __future__ import annotations

import gc
import weakref

from tui_forward.common.garbage import GarbageCollector, collect_garbage_rarely


def test_imports_cause_few_collections() -> None:
    collect_garbage_rarely()
    assert gc.get_threshold()[0] >= 10_000
    assert gc.isenabled()


class Node:
    itself: Node | None = None


def cycle() -> weakref.ref[Node]:
    node = Node()
    node.itself = node
    return weakref.ref(node)


def test_garbage_is_freed_when_the_owner_says_so() -> None:
    collector = GarbageCollector()
    for collect in (collector.freeze, collector.collect_recent, collector.collect):
        freed = cycle()
        assert freed() is not None
        collect()
        assert freed() is None, collect
