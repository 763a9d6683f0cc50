"""Interface of a connection to what the cluster proxy has read of it and may answer.

A client of the proxy has sent something before its connection is served as one of a forward: a
handshake, or the head of a request. From then on its bytes take the same path as any others; only
requests of HTTP are looked at on their way (`RequestFilter`), answers never.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tui_forward.model import Reason
from tui_forward.protocol.buffers import Buffer


class RequestFilter(Protocol):
    """Looks at everything that a client of HTTP sends, and changes or refuses it."""

    @property
    def refusal(self) -> bytes:
        """The answer to a refused request, after which the connection ends; empty without one."""

    @property
    def needs_answer(self) -> bool:
        """Whether the beginning of the answer tells which protocol is spoken."""

    @property
    def awaits_answer(self) -> bool:
        """Whether nothing more is read before that."""

    @property
    def passes_all(self) -> bool:
        """Whether another protocol is spoken, so that the filter is not needed any more."""

    def receive_data(self, data: Buffer) -> Iterable[Buffer]:
        """Return what is to be sent in place of `data`, whose views may be part of it."""

    def receive_answer(self, pieces: list[memoryview]) -> Iterable[Buffer]:
        """Look at the answer while `needs_answer`; return what may be sent now."""


class ProxyClient(Protocol):
    """One client of the proxy, as its connection uses it."""

    first_data: bytes  # for the application: what was read already
    request_filter: RequestFilter | None

    def opened(self) -> bytes:
        """Return what the client gets when its data is about to be sent; called once."""

    def failed(self, reason: Reason) -> bytes:
        """Return what the client gets when the application has sent nothing; empty to reset."""
