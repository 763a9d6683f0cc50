"""`RemoteSession`: the session of an engine process, over its unix socket.

Imports neither the engine nor a Kubernetes client, because the dashboard's process uses it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from msgspec.structs import replace

from tui_forward.daemon import rpc
from tui_forward.daemon.pod_parts import PodDecoder
from tui_forward.daemon.rpc_client import RpcClient
from tui_forward.errors import TransportError
from tui_forward.model import (
    Caller,
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    Context,
    Description,
    DoctorQuery,
    DoctorResult,
    Event,
    ForwardSpec,
    Hop,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    PortCheck,
    ProxySpec,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)


class RemoteSession:
    """A `Session` behind a unix socket. Created by `open`; owns the client."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client

    @classmethod
    async def open(cls, path: Path, *, caller: Caller | None = None) -> RemoteSession:
        """Connect to the engine process that serves `path`; see `RpcClient.open`."""
        return cls(await RpcClient.open(path, caller=caller))

    @property
    def engine_pid(self) -> int:
        """Process id of the engine."""
        return self._client.engine_pid

    @property
    def kubeconfig(self) -> str:
        """Kubeconfig that the engine was started with; empty for kubectl's default."""
        return self._client.kubeconfig

    @property
    def lost(self) -> TransportError | None:
        """Why the engine cannot be reached any more; None while it can."""
        return self._client.lost

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec) -> str:
        """See `Session.start`."""
        return await self._client.request(lambda id_: rpc.Start(id_, spec), str)

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._client.request(lambda id_: rpc.Stop(id_, forward_id), type(None))

    async def start_proxy(self, spec: ProxySpec) -> str:
        """See `Session.start_proxy`."""
        return await self._client.request(lambda id_: rpc.StartProxy(id_, spec), str)

    async def stop_proxy(self, proxy_id: str) -> None:
        """See `Session.stop_proxy`."""
        await self._client.request(lambda id_: rpc.StopProxy(id_, proxy_id), type(None))

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._client.request(lambda id_: rpc.Pause(id_, forward_id), type(None))

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        await self._client.request(lambda id_: rpc.Resume(id_, forward_id), type(None))

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        await self._client.request(lambda id_: rpc.Reconnect(id_, forward_id), type(None))

    async def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `Session.begin_login`."""
        found = await self._client.request(
            lambda id_: rpc.BeginLogin(id_, cluster), tuple[LoginCommand, ...]
        )
        return found[0] if found else None

    async def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""
        await self._client.request(
            lambda id_: rpc.FinishLogin(id_, cluster, output, exit_code), type(None)
        )

    async def cancel_login(self, cluster: ClusterKey) -> None:
        """See `Session.cancel_login`."""
        await self._client.request(lambda id_: rpc.CancelLogin(id_, cluster), type(None))

    async def retry_login(self, cluster: ClusterKey) -> None:
        """See `Session.retry_login`."""
        await self._client.request(lambda id_: rpc.RetryLogin(id_, cluster), type(None))

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.set_keep_running`."""
        await self._client.request(lambda id_: rpc.SetKeepRunning(id_, on), type(None))

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.set_keep_running_if_lost`."""
        await self._client.request(lambda id_: rpc.SetKeepRunningIfLost(id_, on), type(None))

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        await self._client.request(lambda id_: rpc.CloseConnection(id_, connection_id), type(None))

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return await self._client.request(rpc.GetSnapshot, Snapshot)

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return await self._client.request(
            lambda id_: rpc.GetConnections(id_, forward_id), tuple[Connection, ...]
        )

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return await self._client.request(
            lambda id_: rpc.GetTimeline(id_, forward_id), tuple[TimelineEntry, ...]
        )

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """See `Session.missing_permissions`."""
        return await self._client.request(
            lambda id_: rpc.GetMissingPermissions(id_, scope), MissingPermissions
        )

    async def check_port(self, addresses: tuple[str, ...], port: int) -> PortCheck:
        """See `Session.check_port`."""
        return await self._client.request(
            lambda id_: rpc.CheckPort(id_, addresses, port), PortCheck
        )

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return await self._client.request(rpc.GetHistories, tuple[TrafficHistory, ...])

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return await self._client.request(lambda id_: rpc.GetHops(id_, forward_id), tuple[Hop, ...])

    async def describe(self, target: Target) -> Description:
        """See `Session.describe`."""
        return await self._client.request(lambda id_: rpc.Describe(id_, target), Description)

    async def read_log(self, source: LogSource, *, since: str = "", lines: int = 1000) -> PodLog:
        """See `Session.read_log`."""
        return await self._client.request(
            lambda id_: rpc.ReadLog(id_, source, since, lines), PodLog
        )

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return await self._client.request(rpc.GetContexts, tuple[Context, ...])

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        decoder = PodDecoder()
        view = await self._client.request(
            lambda id_: rpc.GetCatalog(id_, scope, since), CatalogView, decoder.add
        )
        return replace(view, pods=tuple(decoder.pods)) if decoder.pods else view

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`."""
        return self._client.subscribe(lambda id_: rpc.Subscribe(id_, since), Event)

    def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """See `Session.diagnose`."""
        return self._client.subscribe(lambda id_: rpc.Diagnose(id_, query), DoctorResult)

    def changes(self) -> AsyncIterator[int]:
        """See `Session.changes`."""
        return self._client.subscribe(rpc.SubscribeChanges, int)

    async def close(self) -> None:
        """Disconnect. Forwards in the engine process are not affected. Idempotent."""
        await self._client.close()
