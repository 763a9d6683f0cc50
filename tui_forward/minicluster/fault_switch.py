"""Turns named faults on and off, and knows which are on."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable

from tui_forward.errors import UsageError
from tui_forward.minicluster.certificates import HOUR, VALIDITY, CertificateAuthority, KeyPair
from tui_forward.minicluster.cluster_folder import ClusterFolder
from tui_forward.minicluster.control_socket import Reply, Request
from tui_forward.minicluster.named_faults import BY_NAME, FAULTS, unknown_fault

_DAY = datetime.timedelta(days=1)
# An address (RFC 5737) and a name of no server here.
_WRONG_HOSTS = ("192.0.2.7", "wrong.example")
_RIGHT_HOSTS = ("127.0.0.1", "::1", "localhost")


class FaultSwitch:
    """The named faults of one cluster; `send` carries out the request of a fault."""

    def __init__(self, send: Callable[[Request], Awaitable[Reply | None]]) -> None:
        self._send = send
        self._active: dict[str, None] = {}

    def list_all(self) -> Reply:
        """Return all faults, in order, and which are on."""
        return {
            "faults": [
                {
                    "name": fault.name,
                    "summary": fault.summary,
                    "target": fault.target,
                    "namespace": fault.namespace,
                    "on": fault.name in self._active,
                }
                for fault in FAULTS
            ]
        }

    async def set(self, name: str, *, on: bool) -> Reply:
        """Turn a fault on or off; both are idempotent. Raises `UsageError`: unknown fault."""
        fault = BY_NAME.get(name)
        if fault is None:
            raise unknown_fault(name)
        # One replaces another of the same switch, such as another answer of the gateway.
        for other in [each for each in self._active if BY_NAME[each].off == fault.off]:
            del self._active[other]
        for request in fault.on if on else fault.off:
            await self._send(request)
        if on:
            self._active[name] = None
        return {"name": name, "on": on, "target": fault.target, "namespace": fault.namespace}

    async def clear(self) -> None:
        """Turn all faults off."""
        for name in [*self._active]:
            await self.set(name, on=False)


class FaultyCertificates:
    """Serving certificates that clients refuse, by what is wrong with them."""

    def __init__(self, authority: CertificateAuthority, folder: ClusterFolder) -> None:
        self._authority = authority
        self._folder = folder
        self._other: CertificateAuthority | None = None
        self._pairs: dict[str, KeyPair] = {}

    def pair(self, flaw: str) -> KeyPair:
        """Return a certificate with a flaw. Raises `UsageError`: unknown flaw."""
        if flaw not in self._pairs:
            self._pairs[flaw] = self._issue(flaw)
        return self._pairs[flaw]

    def _issue(self, flaw: str) -> KeyPair:
        authority, file, name = self._authority, f"faulty-{flaw}", "kubernetes"
        match flaw:
            case "expired":
                return authority.issue_server(
                    file, name, *_RIGHT_HOSTS, validity=(-2 * _DAY, -_DAY)
                )
            case "not-yet-valid":
                return authority.issue_server(file, name, *_RIGHT_HOSTS, validity=(_DAY, VALIDITY))
            case "wrong-name":
                return authority.issue_server(file, name, *_WRONG_HOSTS)
            case "other-ca":
                if self._other is None:
                    folder = self._folder.path / "pki" / "other"
                    self._other = CertificateAuthority(folder, "other-ca")
                return self._other.issue_server(
                    file, name, *_RIGHT_HOSTS, validity=(-HOUR, VALIDITY)
                )
        raise UsageError(
            f"unknown flaw {flaw!r}", hint="expired, not-yet-valid, wrong-name, other-ca"
        )
