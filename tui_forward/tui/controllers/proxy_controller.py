"""Starts and stops cluster proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tui_forward.model import (
    PROXY_PORT,
    AccessOptions,
    CatalogScope,
    ProxyInfo,
    ProxySpec,
)
from tui_forward.session import Session
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.viewmodel.proxy_text import proxied_target, proxy_address, proxy_url

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand


class ProxyController:
    """Carries out requests about the cluster proxies of the session."""

    def __init__(
        self, session: Session, sampler: Sampler, queue: CommandQueue, notifier: Notifier,
        defaults: Callable[[], ProxySpec], scope: Callable[[], CatalogScope],
        forwards: ForwardController, shown_name: Callable[[str, AccessOptions], str],
    ) -> None:  # fmt: skip
        self._session = session
        self._sampler = sampler
        self._queue = queue
        self._notifier = notifier
        self._defaults = defaults  # from the settings
        self._scope = scope  # on view
        self._forwards = forwards
        self._shown_name = shown_name  # of a context

    def start(self) -> None:
        """Start a proxy for the context on view; if it has one, say where that listens."""
        scope = self._scope()
        target = proxied_target(scope.context, scope.namespace, scope.options)
        start = partial(self._queue.enqueue, partial(self._start, scope))
        if self._running(scope) is None:
            self._forwards.confirm_start([target], start, what="the cluster proxy")
        else:
            start()

    def _running(self, scope: CatalogScope) -> ProxyInfo | None:
        for proxy in self._sampler.snapshot.proxies:
            if (proxy.spec.context, proxy.spec.options) == scope.cluster_key:
                return proxy
        return None

    async def _start(self, scope: CatalogScope) -> None:
        running = self._running(scope)  # another key press may have started it
        if running is None:
            is_first = not self._sampler.snapshot.proxies
            spec = replace(
                self._defaults(),
                context=scope.context,
                options=scope.options,
                namespace=scope.namespace,
                port=PROXY_PORT if is_first else 0,
            )
            proxy_id = await self._session.start_proxy(spec)
            proxies = (await self._session.snapshot()).proxies
            running = next((one for one in proxies if one.id == proxy_id), None)
        if running is not None:
            context = self._shown_name(running.spec.context, running.spec.options)
            self._notifier.info(
                f"Services of {context} by name through {proxy_url(running)} (ALL_PROXY)"
            )

    def stop(self, proxy_id: str) -> None:
        """Stop a proxy, with its targets and their connections; undo restores it."""
        self._queue.enqueue(partial(self._stop, proxy_id))

    async def _stop(self, proxy_id: str) -> None:
        stopped = [one for one in self._sampler.snapshot.proxies if one.id == proxy_id]
        await self._session.stop_proxy(proxy_id)
        self._forwards.push_undo((), stopped)
        self._notifier.info("Stopped the cluster proxy. u restores it.")

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield a command to stop each proxy."""
        from tui_forward.tui.keys.palette import Group, PaletteCommand

        for proxy in self._sampler.snapshot.proxies:
            context = self._shown_name(proxy.spec.context, proxy.spec.options)
            yield PaletteCommand(
                f"Stop the cluster proxy {proxy_address(proxy)} of {context}",
                partial(self.stop, proxy.id),
                Group.ALL,
            )
