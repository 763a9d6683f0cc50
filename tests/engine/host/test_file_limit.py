from __future__ import annotations

import resource

from tui_forward.engine.host.file_limit import raise_file_limit


def test_file_limit_is_raised_and_never_lowered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        before, after = raise_file_limit(1000)
        assert (before, after) == (200, min(1000, hard))
        assert raise_file_limit(500) == (after, after)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
