from __future__ import annotations

import gc

from tui_forward.common.garbage import collect_garbage_rarely


def test_imports_cause_few_collections() -> None:
    before = gc.get_threshold()
    try:
        collect_garbage_rarely()
        assert gc.get_threshold()[0] >= 10_000
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
