"""A cluster proxy without a dashboard: start it, print what happens, stop it on a signal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tui_forward.cli.event_output import EventPrinter, ipv4_first
from tui_forward.common.printable import one_line
from tui_forward.errors import TransportError
from tui_forward.model import ProxyInfo, ProxySpec
from tui_forward.session import Session

_STOP_S: Final = 10.0


class ProxyRunner:
    """Runs one proxy on a session until a stop event; `write_line` is stdout."""

    def __init__(
        self, session: Session, printer: EventPrinter, write_line: Callable[[str], None]
    ) -> None:
        self._session = session
        self._printer = printer
        self._write_line = write_line
        self._refused = 0
        self._problem = ""

    async def run(self, spec: ProxySpec, stop: asyncio.Event) -> None:
        """Start the proxy; return once `stop` is set and it is stopped."""
        proxy_id = await self._session.start_proxy(spec)
        self._announce(await self._info(proxy_id))
        stopping = asyncio.create_task(stop.wait(), name="proxy-stop")
        printing = asyncio.create_task(self._print_events(), name="proxy-events")
        noting = asyncio.create_task(self._print_notes(proxy_id), name="proxy-notes")
        tasks: set[asyncio.Task[object]] = {stopping, printing, noting}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not stop.is_set():
                raise TransportError("the engine's event stream ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._session.stop_proxy(proxy_id)

    async def _info(self, proxy_id: str) -> ProxyInfo:
        snapshot = await self._session.snapshot()
        return next(one for one in snapshot.proxies if one.id == proxy_id)

    def _announce(self, info: ProxyInfo) -> None:
        for line in address_lines(info):
            self._write_line(line)
        self._printer.note(example_text(info))
        if info.spec.direct:
            self._printer.note("names outside the cluster are connected to without it (--direct)")

    async def _print_events(self) -> None:
        async for event in self._session.events():
            self._printer.event(event)

    async def _print_notes(self, proxy_id: str) -> None:
        """Print refused requests, and why names are not known."""
        async for _ in self._session.changes():
            info = await self._info(proxy_id)
            if info.refused != self._refused:
                self._refused = info.refused
                self._printer.note(f"refused {info.last_refusal}")
            if info.reason != self._problem:
                self._problem = info.reason
                if info.reason:
                    self._printer.note(f"services: {info.reason}", info.hint)


def address_lines(info: ProxyInfo) -> list[str]:
    """Return a line for each address that a proxy listens on."""
    spec = info.spec
    where = f"{spec.context}, namespace {spec.namespace}"
    return [
        one_line(f"Proxying from {address} -> {where}") for address in ipv4_first(info.listening)
    ]


def example_text(info: ProxyInfo) -> str:
    """Return how to use a proxy, in one line."""
    address = ipv4_first(info.listening)[0]
    if info.spec.auth_file:  # names of localhost take no password
        return f"curl --proxy socks5h://NAME:PASSWORD@{address} http://SERVICE.NAMESPACE/"
    return (
        f"http://SERVICE.NAMESPACE.localhost:{address.port}/ in a browser, "
        f"curl --proxy socks5h://{address} http://SERVICE.NAMESPACE/"
    )
