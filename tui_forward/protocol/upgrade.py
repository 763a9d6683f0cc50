"""The HTTP/1.1 upgrade that starts every tunnel, client side, without I/O.

One request, one response: 101 and the bytes behind it, or a refusal whose body is either a
Kubernetes Status (from the API server) or plain text (from the kubelet and the runtime,
relayed unchanged). Header names and values are those of client-go, kubectl and
`httpstream`; the WebSocket handshake (RFC 6455, section 4) is written by hand because the `/` in
`SPDY/3.1+portforward.k8s.io` is outside its token grammar.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import h11

from tui_forward.errors import ProtocolError, TransportError, UpgradeError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.http_answer import join_headers, read_answer
from tui_forward.protocol.upgrade_rejection import parse_rejection

STREAM_PROTOCOL: Final = "portforward.k8s.io"
STREAM_PROTOCOL_HEADER: Final = "X-Stream-Protocol-Version"
SPDY_UPGRADE: Final = "SPDY/3.1"
TUNNEL_PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOL: Final = "v4.channel.k8s.io"
CHANNEL_BASE64_PROTOCOL: Final = "v4.base64.channel.k8s.io"

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 64 * 1024

_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class UpgradeKind(StrEnum):
    """Protocol after the upgrade; the values are those of `TransportChoice`."""

    SPDY = "spdy"
    WEBSOCKET = "websocket"
    CHANNELS = "channels"


class UpgradeRejected(UpgradeError):  # noqa: N818  # a server response, not a local error
    """The response to an upgrade request was not the requested 101.

    `status` is 101 if the server switched to another protocol. `retry_after_s` is the value of
    `Retry-After` (the kubelet's token cache is full, 429).
    """

    def __init__(
        self,
        reason: Reason,
        *,
        status: int,
        status_reason: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            reason, status=status, status_reason=status_reason, retry_after_s=retry_after_s
        )


def accept_key(key: str) -> str:
    """Return `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key.encode("ascii", "replace") + _WEBSOCKET_GUID, usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode("ascii")


class ClientUpgrade:
    """One upgrade request and its response.

    `path` is `/api/v1/namespaces/{ns}/pods/{pod}/portforward` with the server URL's prefix in front
    and without a query; a name of `headers` may repeat. `ports` and `channel_protocol` (the
    subprotocol to request) are for `CHANNELS` only; `websocket_key` is for tests.
    """

    def __init__(
        self,
        kind: UpgradeKind,
        path: str,
        *,
        authority: str,
        headers: Iterable[tuple[str, str]] = (),
        ports: Iterable[int] = (),
        channel_protocol: str | None = CHANNEL_PROTOCOL,
        websocket_key: str | None = None,
    ) -> None:
        self.kind = kind
        self.done = False  # 101 arrived; from then on bytes belong to the tunnel
        self.leftover = b""  # bytes of the tunnel after the response; valid once `done`
        self._key = websocket_key or base64.b64encode(os.urandom(16)).decode("ascii")
        self._protocol: str | None = STREAM_PROTOCOL
        if kind is not UpgradeKind.SPDY:
            self._protocol = TUNNEL_PROTOCOL if kind is UpgradeKind.WEBSOCKET else channel_protocol
        self._target = path
        self._pod = path.rstrip("/").rpartition("/")[0].rpartition("/")[2]
        if kind is UpgradeKind.CHANNELS:
            self._target += "?ports=" + ",".join(str(port) for port in ports)
        self._headers = [("Host", authority), *headers, *self._upgrade_headers()]
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._response: h11.Response | None = None
        self._body = b""

    def request(self) -> bytes:
        """Return the bytes of the request. Send nothing more before the response. Call once."""
        method = "POST" if self.kind is UpgradeKind.SPDY else "GET"
        try:
            request = h11.Request(method=method, target=self._target, headers=self._headers)
            written = self._http.send(request) or b""
            written += self._http.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            # h11 quotes the value, which may be a token: neither repeat nor chain its error.
            raise ProtocolError(
                "the upgrade request cannot be encoded: a header or the path has a character "
                "that HTTP does not allow",
                hint="Check the token and the user names for line breaks",
            ) from None
        return written

    def receive_data(self, chunk: Buffer) -> None:
        """Process bytes of the response; UpgradeRejected if it is not the requested 101."""
        if self.done:
            self.leftover += bytes(chunk)
        elif len(chunk):  # to h11 an empty chunk is the end of the connection
            self._http_receive(bytes(chunk))

    def receive_eof(self) -> None:
        """Process the end of the connection, or of the wait for the rest of a body.

        Raises UpgradeRejected for a refusal, possibly with an incomplete body; TransportError
        without a response head; ProtocolError if it is not HTTP.
        """
        if self.done:
            return
        if self._response is not None:
            raise self._rejection(self._response)
        raise TransportError(Reason(code=ReasonCode.API_UPGRADE_UNANSWERED))

    # -------------------------------------------------------------------- private

    def _upgrade_headers(self) -> list[tuple[str, str]]:
        if self.kind is UpgradeKind.SPDY:
            return [
                ("Content-Length", "0"),
                ("Connection", "Upgrade"),
                ("Upgrade", SPDY_UPGRADE),
                (STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL),
            ]
        headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self._key),
        ]
        if self._protocol is not None:
            headers.append(("Sec-WebSocket-Protocol", self._protocol))
        return headers

    def _http_receive(self, chunk: bytes) -> None:
        try:
            self._http.receive_data(chunk)
            while not self.done:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    return
                if isinstance(event, h11.InformationalResponse):
                    if event.status_code == 101:
                        self._switched(event)
                elif isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += bytes(event.data)
                    if len(self._body) > MAX_BODY_BYTES and self._response is not None:
                        raise self._rejection(self._response)
                elif self._response is not None:  # the body is complete
                    raise self._rejection(self._response)
                else:
                    raise ProtocolError("the response to the upgrade request has no head")
        except h11.RemoteProtocolError as error:
            if self._response is not None:  # the head is valid
                raise self._rejection(self._response) from error
            raise ProtocolError(
                f"the response to the upgrade request is not HTTP: {str(error)[:200]}",
                hint="Check that the server address of the kubeconfig is that of an API server",
            ) from error

    def _switched(self, response: h11.InformationalResponse) -> None:
        headers = join_headers(_decoded(response.headers))
        upgrade = "spdy/3.1" if self.kind is UpgradeKind.SPDY else "websocket"
        if not _contains(headers, "connection", "upgrade") or not _contains(
            headers, "upgrade", upgrade
        ):
            raise ProtocolError(f"the server switched protocols, but not to {upgrade}")
        if self.kind is UpgradeKind.SPDY:
            echo = headers.get(STREAM_PROTOCOL_HEADER.lower(), "")
        else:
            if headers.get("sec-websocket-accept", "") != accept_key(self._key):
                raise ProtocolError("the server's Sec-WebSocket-Accept does not match our key")
            if headers.get("sec-websocket-extensions"):
                raise ProtocolError(
                    "the server negotiated a WebSocket extension that was not offered"
                )
            echo = headers.get("sec-websocket-protocol", "")
        if echo != (self._protocol or ""):
            raise UpgradeRejected(
                Reason(
                    code=ReasonCode.API_UPGRADE_REFUSED,
                    status="101",
                    detail=f"protocol {echo[:100]!r} instead of {self._protocol!r}",
                ),
                status=101,
            )
        self.leftover = self._http.trailing_data[0]
        self.done = True

    def _rejection(self, response: h11.Response) -> UpgradeRejected:
        status = response.status_code
        answer = read_answer(
            status,
            _decoded(response.headers),
            self._body[:MAX_BODY_BYTES],
            response.reason.decode("latin-1"),
        )
        return UpgradeRejected(
            parse_rejection(answer, pod=self._pod),
            status=status,
            status_reason=answer.status_reason,
            retry_after_s=answer.retry_after_s,
        )


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _contains(headers: Mapping[str, str], name: str, word: str) -> bool:
    """Return whether the value contains the word, in any case, as Go does."""
    return word in headers.get(name, "").lower()
