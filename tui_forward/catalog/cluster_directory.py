"""Services and pods of one cluster by name and by address: implements `ClusterDirectory`.

The services are listed and watched, in all namespaces or in those where the user may; they cost
little, unlike pods, of which only those are read whose address is asked for. A user who may not
list services gets those that may be read by name.
"""

from __future__ import annotations

import asyncio
import difflib
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from tui_forward.catalog.item_store import Key
from tui_forward.catalog.lookup_cache import LookupCache
from tui_forward.catalog.namespaced_reflectors import NamespacedReflectors
from tui_forward.catalog.reflector import Reflector
from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.kube.api.resources import (
    ENDPOINT_SLICES,
    NAMESPACES,
    POD_ADDRESSES,
    SERVICES,
)
from tui_forward.kube.client import ClusterClient
from tui_forward.model import Namespace, PodRef, Reason, Service

_FIRST_LIST_TIMEOUT_S: Final = 10.0
# Of what is not watched. A pod that has lost its address is noticed by its forward.
_MAX_AGE_S: Final = 10.0
# Of the knowledge that no pod has a second address, for which all of them have to be listed.
_SINGLE_STACK_AGE_S: Final = 600.0
_MAX_SIMILAR: Final = 3
_SERVICE_LABEL: Final = "kubernetes.io/service-name"


class CatalogClusterDirectory:
    """Follows the services of one cluster from its creation until `close`."""

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self.version = 0  # grows with every change of a service
        self._by_address: dict[str, Key] = {}
        self._status_changed = asyncio.Event()
        self._namespaces: Reflector[Namespace] = Reflector(
            cluster, NAMESPACES, on_change=self._namespace_changed, on_status=self._wake_namespaces
        )
        self._services: NamespacedReflectors[Service] = NamespacedReflectors(
            cluster,
            SERVICES,
            candidates=self._candidate_namespaces,
            are_known=lambda: self._namespaces.synced or self._namespaces.error is not None,
            on_change=self._service_changed,
            on_status=self._status_changed.set,
        )
        self._read_services: LookupCache[Service | None] = LookupCache(_MAX_AGE_S)
        self._pods: LookupCache[dict[str, PodRef]] = LookupCache(_MAX_AGE_S)
        self._single_stack_until = -math.inf  # monotonic seconds
        self._endpoints: LookupCache[str] = LookupCache(_MAX_AGE_S)
        self._namespaces.start()
        self._services.start()

    # ClusterDirectory -----------------------------------------------------------------

    async def find_service(self, namespace: str, name: str) -> Service | None:
        """See `ClusterDirectory`."""
        await self._wait_for_services()
        service = self._services.items.get((namespace, name))
        if service is not None or self._is_listed(namespace):
            return service
        return await self._read_services.get(
            (namespace, name), lambda: self._read_service(namespace, name)
        )

    async def find_service_at(self, address: str) -> Service | None:
        """See `ClusterDirectory`."""
        await self._wait_for_services()
        key = self._by_address.get(address)
        return self._services.items.get(key) if key is not None else None

    async def find_pod_at(self, address: str) -> PodRef | None:
        """See `ClusterDirectory`."""
        pods = await self._pods.get(address, lambda: self._list_pods(address))
        if address not in pods and time.monotonic() >= self._single_stack_until:
            pods = await self._pods.get("", self._list_second_addresses)
        return pods.get(address)

    async def find_endpoint(self, service: Service, hostname: str) -> str:
        """See `ClusterDirectory`."""
        key = service.namespace, service.name, hostname
        return await self._endpoints.get(key, lambda: self._read_endpoint(service, hostname))

    def similar_names(self, namespace: str, name: str) -> tuple[str, ...]:
        """See `ClusterDirectory`."""
        elsewhere = [f"{own}.{other}" for other, own in self._services.items if own == name]
        near = [own for other, own in self._services.items if other == namespace]
        close = difflib.get_close_matches(name, near, n=_MAX_SIMILAR, cutoff=0.6)
        spelled = difflib.get_close_matches(
            f"{name}.{namespace}", self._names(), n=_MAX_SIMILAR, cutoff=0.75
        )
        found = [*elsewhere, *(f"{one}.{namespace}" for one in close), *spelled]
        return tuple(dict.fromkeys(found))[:_MAX_SIMILAR]

    @property
    def namespaces(self) -> tuple[str, ...]:
        """See `ClusterDirectory`."""
        return tuple(sorted({namespace for namespace, _ in self._services.items}))

    @property
    def count(self) -> int:
        """See `ClusterDirectory`."""
        return len(self._services.items)

    @property
    def problem(self) -> Reason | None:
        """See `ClusterDirectory`."""
        error = self._services.error
        return error.reason if error is not None else None

    async def close(self) -> None:
        """See `ClusterDirectory`."""
        await self._services.stop()
        await self._namespaces.stop()
        for cache in (self._read_services, self._pods, self._endpoints):
            await cache.close()

    # Following ------------------------------------------------------------------------

    async def _wait_for_services(self) -> None:
        """Wait for the first list, or for a refusal; raise what else prevents it."""
        services = self._services
        try:
            async with asyncio.timeout(_FIRST_LIST_TIMEOUT_S):
                while not services.synced and not _is_lasting(services.error):
                    self._status_changed.clear()
                    await self._status_changed.wait()
        except TimeoutError:
            if services.error is not None:
                raise services.error from None
            raise TransportError(
                f"the services are not listed within {_FIRST_LIST_TIMEOUT_S:g} s",
                hint="Check the API server: tui-forward doctor",
            ) from None
        error = services.error
        if not services.synced and error is not None and not _is_refusal(error):
            raise error

    def _is_listed(self, namespace: str) -> bool:
        """Whether all services of a namespace are known."""
        services = self._services
        return services.synced and (not services.only_in or namespace in services.only_in)

    def _candidate_namespaces(self) -> Sequence[str]:
        configured = self._cluster.configured_namespaces
        if not self._namespaces.synced:
            return [*configured]
        known = sorted(name for _, name in self._namespaces.items)
        return sorted(known, key=lambda name: name not in configured)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if old is None or new is None:
            self._wake_namespaces()

    def _wake_namespaces(self) -> None:
        self._services.update_namespaces()

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        self.version += 1
        for address in old.cluster_ips if old is not None else ():
            self._by_address.pop(address, None)
        for address in new.cluster_ips if new is not None else ():
            assert new is not None
            self._by_address[address] = (new.namespace, new.name)
        self._status_changed.set()

    def _names(self) -> Iterator[str]:
        return (f"{name}.{namespace}" for namespace, name in self._services.items)

    # Requests -------------------------------------------------------------------------

    async def _read_service(self, namespace: str, name: str) -> Service | None:
        try:
            return await self._cluster.get(SERVICES, namespace, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _list_second_addresses(self) -> dict[str, PodRef]:
        """Return all pods that have one, by it: no selector of the API finds them."""
        found = await self._list_pods("")
        if not found:
            self._single_stack_until = time.monotonic() + _SINGLE_STACK_AGE_S
        return found

    async def _list_pods(self, address: str) -> dict[str, PodRef]:
        """List in all namespaces at once, else in each that the user is known to use."""
        try:
            return await self._list_pods_in("", address)
        except ApiError as error:
            if not error.forbidden:
                raise
            refusal = error
        found: dict[str, PodRef] = {}
        was_allowed = False
        for namespace in dict.fromkeys(
            (*self._cluster.configured_namespaces, *self._services.only_in)
        ):
            try:
                found |= await self._list_pods_in(namespace, address)
            except ApiError as error:
                if not error.forbidden:
                    raise
                continue
            was_allowed = True
            if address in found:
                break
        if not was_allowed:
            raise refusal
        return found

    async def _list_pods_in(self, namespace: str, address: str) -> dict[str, PodRef]:
        """Return the pods with a first address; without one, all that have a second one, by it."""
        found: dict[str, PodRef] = {}
        selector = f"status.podIP={address}" if address else ""
        pages = self._cluster.list_pages(POD_ADDRESSES, namespace, field_selector=selector)
        async with aclosing(pages):
            async for page in pages:
                for one in page.items:
                    addresses = one.addresses[:1] if address else one.addresses[1:]
                    found |= dict.fromkeys(addresses, one.ref)
        return found

    async def _read_endpoint(self, service: Service, hostname: str) -> str:
        pages = self._cluster.list_pages(
            ENDPOINT_SLICES,
            service.namespace,
            label_selector=f"{_SERVICE_LABEL}={service.name}",
        )
        has_slices = False
        try:
            async with aclosing(pages):
                async for page in pages:
                    has_slices = has_slices or bool(page.items)
                    for one in (one for each in page.items for one in each.endpoints):
                        names = (one.hostname, re.sub("[.:]", "-", one.address))
                        if hostname in names and one.pod:
                            return one.pod
        except ApiError as error:
            if not (error.forbidden or error.not_found):
                raise
            has_slices = False
        # The pods of a StatefulSet are called like their hosts.
        return "" if has_slices else hostname


def _is_refusal(error: TuiForwardError) -> bool:
    return isinstance(error, ApiError) and error.forbidden


def _is_lasting(error: TuiForwardError | None) -> bool:
    """Whether to wait longer is of no use: the server has refused, and is not just overloaded."""
    if isinstance(error, ApiError):
        return error.status < HTTPStatus.TOO_MANY_REQUESTS
    return error is not None and not isinstance(error, TransportError)
