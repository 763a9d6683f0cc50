"""Tests of the network: DNS, proxy, TCP and TLS, each with the code that connections use."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.session.doctor.api_connection import ApiConnection
from tui_forward.session.doctor.certificates import explain_certificate, read_certificate
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good, note
from tui_forward.session.doctor.routes import describe_route
from tui_forward.transport.connect import handshake, start_tls
from tui_forward.transport.dns import resolve
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.tcp import connect_timeout_error, dial_addresses
from tui_forward.transport.tls_stream import TlsStream

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_LABEL: Final = "the API server"
_PROXY_LABEL: Final = "the proxy"
# The longest wait for a refusal of the client certificate; else as long as the handshake took.
_REFUSAL_S: Final = 0.2


# DNS ----------------------------------------------------------------------------------


async def check_dns(chain: Chain) -> Finding:
    """Resolve the name of the API server; of the proxy, which resolves the other one itself."""
    endpoint = chain.endpoint
    assert endpoint is not None
    proxy = endpoint.proxy
    host, port = (proxy.host, proxy.port) if proxy is not None else (endpoint.host, endpoint.port)
    label = _PROXY_LABEL if proxy is not None else _LABEL
    chain.trace.add_hosts(endpoint.host, host)
    if _is_address(host):
        return good(DoctorHop.DNS, f"resolve {host}", "it is an address")
    tried = f"resolve {host}"
    if proxy is not None:
        tried += f" (the proxy resolves {endpoint.host})"
    started = time.monotonic()
    try:
        found = await resolve(host, port, label=label)
    except TransportError as error:
        return fault(DoctorHop.DNS, tried, explain_dns(error, host, search_domains()))
    duration_s = time.monotonic() - started
    chain.addresses = tuple(found)
    addresses = ", ".join(dict.fromkeys(str(one[4][0]) for one in found))
    chain.trace.record("resolved", host=host, addresses=addresses)
    if duration_s >= chain.limits.slow_dns_s:
        reason = Reason(
            code=ReasonCode.NETWORK_DNS_SLOW, server=host, timeout_s=round(duration_s, 1)
        )
        return note(DoctorHop.DNS, tried, reason, addresses)
    return good(DoctorHop.DNS, tried, addresses)


def explain_dns(error: TransportError, host: str, domains: tuple[str, ...]) -> Reason:
    """Return why a name was not resolved, from the system's error."""
    reason, cause = error.reason, error.__cause__
    number = cause.errno if isinstance(cause, socket.gaierror) else None
    if isinstance(cause, TimeoutError) or number == socket.EAI_AGAIN:
        return replace(reason, code=ReasonCode.NETWORK_DNS_NO_ANSWER, server=host)
    if "." not in host.rstrip("."):
        return Reason(
            code=ReasonCode.NETWORK_DNS_SHORT_NAME, server=host, detail=", ".join(domains)
        )
    return reason


def search_domains(path: Path = _RESOLV_CONF) -> tuple[str, ...]:
    """Return the domains that complete short names; empty where the system does not say."""
    try:
        lines = path.read_text("utf-8", "replace")[: 64 * 1024].splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    found = [line[1:] for line in words if line and line[0] in ("search", "domain")]
    return tuple(found[-1]) if found else ()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


# Proxy --------------------------------------------------------------------------------


async def check_proxy(chain: Chain) -> Finding:
    """Open a tunnel through the proxy, if there is one."""
    endpoint, resolved = chain.endpoint, chain.resolved
    assert endpoint is not None
    assert resolved is not None
    variable = "HTTPS_PROXY" if endpoint.tls is not None else "HTTP_PROXY"
    set_in_environment = chain.environ.get(variable) or chain.environ.get(variable.lower())
    if endpoint.proxy is None:
        fact = f"{variable} does not apply to {endpoint.host}" if set_in_environment else ""
        return good(DoctorHop.PROXY, "use no proxy", fact)
    cluster = resolved.cluster
    origin = variable
    if cluster.proxy_url:
        origin = f"proxy-url of cluster {cluster.name} ({cluster.origin})"
    tried = f"connect to {endpoint.authority} through the proxy {endpoint.proxy}"
    facts = [f"set by {origin}"]
    from tui_forward.transport.proxy_dialer import dial_via_proxy

    limit_s = chain.limits.connect_s
    try:
        async with asyncio.timeout(limit_s):
            chain.stream = await dial_via_proxy(
                endpoint.proxy, endpoint.host, endpoint.port, tls=endpoint.tls
            )
    except TimeoutError:
        reason = Reason(
            code=ReasonCode.NETWORK_PROXY_TIMEOUT, proxy=str(endpoint.proxy),
            server=endpoint.authority, timeout_s=limit_s,
        )  # fmt: skip
        return fault(DoctorHop.PROXY, tried, reason, *facts)
    except TuiForwardError as error:
        return fault(DoctorHop.PROXY, tried, error.reason, *facts)
    return good(DoctorHop.PROXY, tried, *facts)


# TCP ----------------------------------------------------------------------------------


async def check_tcp(chain: Chain) -> Finding:
    """Connect to the API server, unless the proxy has done so."""
    endpoint = chain.endpoint
    assert endpoint is not None
    tried = f"connect to {endpoint.authority}"
    if chain.stream is not None:
        return good(DoctorHop.TCP, tried, "the proxy is connected")
    try:
        addresses = chain.addresses or tuple(
            await resolve(endpoint.host, endpoint.port, label=_LABEL)
        )
        async with asyncio.timeout(chain.limits.connect_s):
            sock = await dial_addresses(addresses, endpoint.host, endpoint.port, label=_LABEL)
    except (TimeoutError, TransportError) as error:
        if isinstance(error, TimeoutError):
            error = connect_timeout_error(endpoint.authority, _LABEL)
        route = describe_route(endpoint.host, [str(one[4][0]) for one in chain.addresses])
        reason = error.reason
        is_lost = reason.code in (ReasonCode.NETWORK_TIMEOUT, ReasonCode.NETWORK_UNREACHABLE)
        if is_lost and route.needs_vpn:
            reason = replace(
                reason,
                hint="Connect the VPN of this network: the address is private, and "
                "no interface of this machine is in its network",
            )
        return fault(DoctorHop.TCP, tried, reason, route.text if is_lost else "")
    peer = sock.getpeername()[0]
    chain.stream = SocketStream(sock)
    return good(DoctorHop.TCP, tried, f"connected to {peer}" if peer != endpoint.host else "")


# TLS ----------------------------------------------------------------------------------


class _RefusalHandler:
    """Waits for the end of a stream."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[TransportError | None] = (
            asyncio.get_running_loop().create_future()
        )

    def data_received(self, data: memoryview) -> None:
        pass  # a server sends nothing before a request

    def writing_paused(self) -> None:
        pass

    def writing_resumed(self) -> None:
        pass

    def closed(self, error: TransportError | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)


async def _await_refusal(stream: TlsStream, timeout_s: float) -> TransportError | None:
    """Return the error of a server that refuses the client certificate after the handshake.

    A request that is sent before that is read can make the system discard the server's alert.
    """
    handler = _RefusalHandler()
    stream.set_handler(handler)
    stream.resume_reading()
    done, _ = await asyncio.wait({handler.ended}, timeout=timeout_s)
    if not done:
        stream.pause_reading()
        return None
    error = handler.ended.result()
    is_refusal = error is not None and error.code is ReasonCode.NETWORK_CLIENT_CERTIFICATE
    return error if is_refusal else None


def _may_have_certificate(chain: Chain) -> bool:
    assert chain.resolved is not None
    user = chain.resolved.user
    return bool(user.certificate_data or user.certificate_file or user.exec)


async def check_tls(chain: Chain) -> Finding:
    """Perform the handshake and send the first request.

    With TLS 1.3 a server refuses a client certificate only in its answer to that.
    """
    endpoint, stream = chain.endpoint, chain.stream
    assert endpoint is not None
    assert stream is not None
    facts: tuple[str, ...] = ()
    tried = "use no TLS (http://)"
    started = time.monotonic()
    duration_s = 0.0
    if endpoint.tls is not None:
        name = endpoint.server_hostname or endpoint.host
        tried = f"TLS handshake as {name}"
        secure = start_tls(stream, endpoint, endpoint.tls)
        stream = chain.stream = secure
        try:
            async with asyncio.timeout(chain.limits.connect_s):
                await handshake(secure, endpoint)
        except TimeoutError:
            reason = Reason(
                code=ReasonCode.NETWORK_TLS_TIMEOUT, server=endpoint.authority,
                timeout_s=chain.limits.connect_s,
            )  # fmt: skip
            return fault(DoctorHop.TLS, tried, reason)
        except TransportError as error:
            secure.abort()
            reason = await explain_certificate(chain, error.reason)
            return fault(DoctorHop.TLS, tried, reason)
        duration_s = time.monotonic() - started
        facts = (secure.version, *read_certificate(secure.certificate, time.time()))
        chain.trace.record("tls", version=secure.version)
        if _may_have_certificate(chain):
            refused = await _await_refusal(secure, min(duration_s, _REFUSAL_S))
            if refused is not None:
                return fault(DoctorHop.TLS, tried, refused.reason, *facts)
    chain.api = api = ApiConnection(
        endpoint, chain.headers, timeout_s=chain.limits.request_s, trace=chain.trace
    )
    api.adopt(stream)
    chain.stream = None
    try:
        chain.first_answer = await api.request("GET", "/version")
    except TuiForwardError as error:
        if error.code is ReasonCode.NETWORK_CLIENT_CERTIFICATE:
            return fault(DoctorHop.TLS, tried, error.reason, *facts)
        chain.first_error = error
    return replace_fields(good(DoctorHop.TLS, tried, *facts), duration_s=duration_s)
