"""Logger that marks each record with the forward it is about."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any


class ForwardLogger(logging.LoggerAdapter[logging.Logger]):
    """Puts a forward's id and context in front of messages, and into the records."""

    def __init__(self, logger: logging.Logger, forward_id: str, context: str) -> None:
        super().__init__(logger, {"forward": forward_id, "context": context})
        self._prefix = f"{forward_id} ({context}): ".lstrip()

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Return the message with its prefix, and the record's attributes."""
        return f"{self._prefix}{msg}", {**kwargs, "extra": self.extra}
