from __future__ import annotations

import gc
import weakref

from tui_forward.common.garbage import collect_garbage_rarely, release_garbage


def test_imports_cause_few_collections() -> None:
    before = gc.get_threshold()
    try:
        collect_garbage_rarely()
        assert gc.get_threshold()[0] >= 10_000
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)


def test_released_garbage_is_freed() -> None:
    class Node:
        itself: Node | None = None

    node = Node()
    node.itself = node
    freed = weakref.ref(node)
    del node
    release_garbage()
    assert freed() is None
