"""Why a dial has failed."""

from __future__ import annotations

import asyncio
import logging

from tui_forward.errors import ForwardError, TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import error_text

_log = logging.getLogger(__name__)


def dial_failure(dial: asyncio.Task[None]) -> TuiForwardError | None:
    """Return why a dial has failed, whatever ended it; None if it has not."""
    if dial.cancelled():
        return TransportError(Reason(code=ReasonCode.TUNNEL_NOT_OPEN))
    error = dial.exception()
    if error is None or isinstance(error, TuiForwardError):
        return error
    _log.error("a dial failed unexpectedly", exc_info=error)
    detail = f"{type(error).__name__}: {error_text(error)}"
    return ForwardError(Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail))
