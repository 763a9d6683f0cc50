"""Responses of an API server that refuses a request."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tui_forward.protocol.upgrade_server import encode_response


def encode_status_response(
    status: int, message: str, *, reason: str = "", details: Mapping[str, object] | None = None
) -> bytes:
    """Encode a complete response with a Status body, as the API server does."""
    body: dict[str, object] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = dict(details)
    body["code"] = status
    text = json.dumps(body, separators=(",", ":")) + "\n"
    return encode_response(status, text, content_type="application/json")
