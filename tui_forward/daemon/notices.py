"""What the engine process did unasked, for whoever is attached now or later."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from tui_forward.model import EngineNotice

_log = logging.getLogger(__name__)

_KEPT = 20


class NoticeLog:
    """The latest few.

    Attributes:
        began: Set when a forward of a profile has begun, for whoever follows profiles.
    """

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self._number = 0
        self._kept: deque[EngineNotice] = deque(maxlen=_KEPT)

    @property
    def latest(self) -> tuple[EngineNotice, ...]:
        """Those that are kept, the latest last."""
        return tuple(self._kept)

    def add(self, about: str, text: str, *, bad: bool = False) -> None:
        """One more.

        Args:
            about: A profile.
            text: What was done, or could not be.
            bad: It needs a person.
        """
        self._number += 1
        _log.log(logging.WARNING if bad else logging.INFO, "profile %s: %s", about, text)
        self._kept.append(
            EngineNotice(
                number=self._number, at=time.time(), profile=about, text=text, is_problem=bad
            )
        )
