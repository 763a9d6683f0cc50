"""A gateway in front of the API server, for faults: a load balancer, an ingress, a login portal.

Its answers are those of nginx, envoy and AWS load balancers: none of the API server's headers. The
kubelets do not pass it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.users import NODES
from tui_forward.protocol.upgrade_server import is_upgrade

# How long a gateway waits before it answers 504.
_TIMEOUT_S = 5.0
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a gateway answers in place of the API server."""

    status: int
    phrase: str
    server: str = "nginx"
    content_type: str = _HTML
    body: str = ""  # empty for a page with the status
    location: str = ""
    delay_s: float = 0.0

    def response(self) -> Response:
        title = f"{self.status} {self.phrase}"
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        headers = [("Server", self.server)] if self.server else []
        if self.location:
            headers.append(("Location", self.location))
        body = self.body or ("" if self.location else page)
        return Response(
            self.status,
            body.encode(),
            self.content_type,
            tuple(headers),
            phrase=self.phrase,
            is_foreign=True,
        )


_LOGIN_PAGE = "<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
# Answers to all requests, by the name of the mode.
_TO_ALL = {
    "502": _Answer(502, "Bad Gateway"),
    "503": _Answer(
        503,
        "Service Unavailable",
        "envoy",
        "text/plain",
        "upstream connect error or disconnect/reset before headers. reset reason: connection "
        "failure",
    ),
    "redirect": _Answer(302, "Found", "", location="https://sso.corp.example/login?rd=x"),
    "login-page": _Answer(200, "OK", "", "text/html; charset=utf-8", _LOGIN_PAGE),
}
# Answers to upgrades only.
_TO_UPGRADES = {
    "403": _Answer(403, "Forbidden", "awselb/2.0"),
    "504": _Answer(504, "Gateway Time-out", delay_s=_TIMEOUT_S),
}
_TO_SPDY = {"no-spdy": _Answer(400, "Bad Request")}
_STRIPS_UPGRADE = "strips-upgrade"
MODES = (*_TO_ALL, *_TO_UPGRADES, *_TO_SPDY, _STRIPS_UPGRADE)


class Gateway:
    """Answers, changes or passes requests; without a mode it passes them."""

    def __init__(self) -> None:
        self._mode = ""

    def set_mode(self, mode: str) -> None:
        """Set one of `MODES`, or none (empty). Raises `UsageError`: unknown mode."""
        if mode and mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}", hint=", ".join(MODES))
        self._mode = mode

    async def intercept(self, request: Request) -> Response | None:
        """Return an answer in place of the API server's; None passes the request on."""
        mode = self._mode
        if not mode or NODES in request.peer.groups:
            return None
        if mode == _STRIPS_UPGRADE:
            hop_by_hop = ("connection", "upgrade")
            request.headers = [each for each in request.headers if each[0] not in hop_by_hop]
            return None
        answer = _TO_ALL.get(mode)
        if answer is None and is_upgrade(request.headers):
            answer = _TO_UPGRADES.get(mode)
            if "spdy/3.1" in request.header("upgrade").lower():
                answer = answer or _TO_SPDY.get(mode)
        if answer is None:
            return None
        await asyncio.sleep(answer.delay_s)
        return answer.response()
