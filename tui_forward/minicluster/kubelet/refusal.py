"""The error that ends a request to the kubelet with an HTTP response."""

from __future__ import annotations


class RefusalError(Exception):
    """A request was refused.

    Args:
        raw: The whole response.
    """

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.partition(b"\r\n")[0].decode())
        self.raw = raw
