"""The recorded port-forward connections of real clients, see tests/captures/wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "captures" / "wire"

HELLO = b"pingpong again"
DOWNLOAD = bytes(7 * index % 256 for index in range(100_000))


@dataclass(frozen=True)
class Recording:
    """One TCP connection: what each side sent, in the recorded chunks."""

    client: str  # "kubectl-1.33-spdy"
    case: str  # "echo"
    chunks: list[tuple[str, bytes]]

    @property
    def name(self) -> str:
        return f"{self.client}.{self.case}"

    def head(self, side: str) -> bytes:
        """The HTTP head."""
        return self._all(side).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def body(self, side: str) -> list[bytes]:
        """What follows the head, chunk by chunk."""
        skip = len(self.head(side))
        body = []
        for who, chunk in self.chunks:
            if who == side:
                if len(chunk) > skip:
                    body.append(chunk[skip:])
                skip = max(0, skip - len(chunk))
        return body

    def all(self, side: str) -> bytes:
        """Every byte one side sent."""
        return self._all(side)

    def _all(self, side: str) -> bytes:
        return b"".join(chunk for who, chunk in self.chunks if who == side)

    @property
    def _hello(self) -> bytes:
        # The recorded Python client stopped after the first of the two messages.
        return HELLO[:4] if self.client.startswith("python") else HELLO

    @property
    def sent(self) -> bytes:
        """What the local application sent; for `http`, only the beginning."""
        return {
            "echo": self._hello,
            "http": b"GET /x HTTP/1.1\r\n",
            "download": b"100000\n",
            "upload": b"70000\n" + b"u" * 70_000,
            "refused": b"x",
            "reset": b"",
            "late": b"hello\n",
        }[self.case]

    @property
    def answered(self) -> bytes:
        """What the application in the pod sent; for `http`, only the beginning."""
        return {
            "echo": self._hello,
            "http": b"HTTP/1.1 200 OK\r\n",
            "download": DOWNLOAD,
            "upload": b"70000\n",
        }.get(self.case, b"")


def load() -> list[Recording]:
    """Every connection of every recording."""
    recordings = []
    for path in sorted(FOLDER.glob("*.json")):
        client, _, case = path.stem.rpartition(".")
        for connection in json.loads(path.read_text()):
            chunks = [(who, bytes.fromhex(data)) for _, who, data in connection if data]
            recordings.append(Recording(client, case, chunks))
    return recordings


RECORDINGS = load()
SPDY = [recording for recording in RECORDINGS if recording.client.endswith("spdy")]
WEBSOCKET = [recording for recording in RECORDINGS if recording.client.endswith("websocket")]
CHANNELS = [recording for recording in RECORDINGS if recording.client.endswith("channels")]
