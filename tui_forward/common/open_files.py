"""Lack of files, sockets or memory as the reason of a failure."""

from __future__ import annotations

import errno
import os
import resource

from tui_forward.model import Reason, ReasonCode

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def exhausted_reason(error: OSError) -> Reason | None:
    """Return the reason if the process or the system cannot open more; None for other errors."""
    if error.errno not in _EXHAUSTED:
        return None
    if error.errno == errno.EMFILE:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Reason(code=ReasonCode.LOCAL_EXHAUSTED, limit=str(soft))
    return Reason(code=ReasonCode.LOCAL_EXHAUSTED, detail=os.strerror(error.errno).lower())
