"""The process's limit of open files."""

from __future__ import annotations

import contextlib
import resource

# macOS refuses numbers above kern.maxfilesperproc even below an infinite hard limit.
_FALLBACKS = (10240, 4096)


def raise_file_limit(target: int = 65536) -> tuple[int, int]:
    """Raise the soft limit of open files toward `target`; return the limit before and after.

    Each connection needs a descriptor, and common soft limits are 256 and 1024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = target if hard == resource.RLIM_INFINITY else min(target, hard)
    for limit in (goal, *_FALLBACKS):
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return soft, limit
    return soft, soft
