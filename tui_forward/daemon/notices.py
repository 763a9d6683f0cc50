"""Log of what the engine process did on its own, for all clients."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

import msgspec

from tui_forward.common.clock import correction_s, steady_time
from tui_forward.model import EngineNotice

_log = logging.getLogger(__name__)

_MAX_NOTICES = 20


class NoticeLog:
    """The latest notices."""

    def __init__(self, on_add: Callable[[], None] = lambda: None) -> None:
        self._on_add = on_add
        # Set when a forward of a profile starts, or any stops; cleared by the profile watcher.
        self.profiles_changed = asyncio.Event()
        self._number = 0
        self._notices: deque[EngineNotice] = deque(maxlen=_MAX_NOTICES)

    @property
    def latest(self) -> tuple[EngineNotice, ...]:
        """The latest notices, in order."""
        correction = correction_s()
        return tuple(
            msgspec.structs.replace(one, at=one.at + correction) if correction else one
            for one in self._notices
        )

    def add(self, profile: str, text: str, *, is_problem: bool = False) -> None:
        """Add a notice of a profile, or "" of the engine. A problem needs action by the user."""
        self._number += 1
        level = logging.WARNING if is_problem else logging.INFO
        _log.log(level, "%s: %s", f"profile {profile}" if profile else "engine", text)
        self._notices.append(
            EngineNotice(
                number=self._number, at=steady_time(), profile=profile, text=text,
                is_problem=is_problem,
            )
        )  # fmt: skip
        self._on_add()
