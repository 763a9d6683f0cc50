"""Which transport worked for which cluster."""

from __future__ import annotations

from tui_forward.model import TransportChoice


class TransportCache:
    """The transport that worked last, by context, so that `auto` tries it first. In memory only.

    One instance is shared by all forwards of a session. Keys are `ServerAccess.context`.
    """

    def __init__(self) -> None:
        self._transports: dict[str, TransportChoice] = {}

    def get(self, context: str) -> TransportChoice | None:
        """Return the transport that worked last, if any."""
        return self._transports.get(context)

    def set(self, context: str, transport: TransportChoice) -> None:
        """Record that `transport` was upgraded."""
        self._transports[context] = transport

    def evict(self, context: str) -> None:
        """Forget the transport, which does not work any more."""
        self._transports.pop(context, None)
