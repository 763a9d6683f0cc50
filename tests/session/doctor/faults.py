"""Faults of a chain, each produced for real on loopback: what kubectl says, and what a doctor says.

`FAULTS` is the table of ARCHITECTURE (`python -m tests.session.doctor.matrix`), which
`test_faults.py` walks. kubectl's words are those of 1.36 on the same chain, checked by
`test_kubectl_words.py`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import Reply, status_body
from tests.kube.certificates import Authority, Pair, server_context
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.kubectl_peer import Server
from tests.kube.proxy_servers import ConnectProxy, running
from tests.session.doctor.chain_server import (
    NAMESPACE,
    ChainServer,
    page,
    plain_refusal,
    pod,
    refusal,
    running_chain,
    service,
)
from tests.session.doctor.diagnosis import ACTIVE_PORT, LIMITS, target, write_config
from tests.transport.test_recorded_faults import serving
from tui_forward.model import DoctorHop, ReasonCode, Target, TargetKind, TransportChoice
from tui_forward.session.doctor.chain import DoctorLimits

Hop, Code = DoctorHop, ReasonCode


@dataclass(frozen=True)
class Scene:
    """A chain with a fault: how to reach it."""

    config: Path | None
    tested: Target = field(default_factory=target)
    environ: Mapping[str, str] = field(default_factory=dict)
    limits: DoctorLimits = LIMITS
    context: str = ""
    transport: TransportChoice = TransportChoice.AUTO


Produce = Callable[[Path, pytest.MonkeyPatch], contextlib.AbstractAsyncContextManager[Scene]]


@dataclass(frozen=True)
class Fault:
    """A row of the table. `says` has no numbers of ports, and `~` for the folder of the test."""

    name: str
    kubectl: str  # the end of what it prints; "waits" if it does not end
    hop: DoctorHop
    code: ReasonCode
    says: str
    produce: Produce
    is_note: bool = False  # a forward works even so


FAULTS: list[Fault] = []


def fault(
    name: str, hop: DoctorHop, code: ReasonCode, says: str, kubectl: str = "", *,
    is_note: bool = False,
) -> Callable[[Callable[..., AsyncIterator[Scene]]], Produce]:  # fmt: skip
    """Add a row; the function yields the scene."""

    def add(produce: Callable[..., AsyncIterator[Scene]]) -> Produce:
        manager: Produce = contextlib.asynccontextmanager(produce)
        FAULTS.append(Fault(name, kubectl, hop, code, says, manager, is_note))
        return manager

    return add


# Kubeconfig ---------------------------------------------------------------------------

SERVER = "https://127.0.0.1:1"


@fault(
    "no kubeconfig", Hop.KUBECONFIG, Code.CONFIG_FILE_MISSING,
    "the kubeconfig ~/config does not exist",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(folder / "config")


@fault(
    "KUBECONFIG names no file that exists", Hop.KUBECONFIG, Code.CONFIG_FILE_MISSING,
    "KUBECONFIG names no file that exists (~/one, ~/two)",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(None, environ={"KUBECONFIG": f"{folder}/one:{folder}/two"})


@fault(
    "no current context", Hop.KUBECONFIG, Code.CONFIG_CONTEXT_MISSING,
    "the kubeconfig has no current context",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write(folder / "config", kubeconfig(SERVER) | {"current-context": ""}))


@fault(
    "a context that no file has", Hop.KUBECONFIG, Code.CONFIG_CONTEXT_MISSING,
    'there is no context "tset" in ~/config',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write_config(folder, SERVER), context="tset")


@fault(
    "the context names a missing cluster", Hop.KUBECONFIG, Code.CONFIG_CLUSTER_MISSING,
    'context "test" names the cluster "test", which is not in ~/config',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write(folder / "config", kubeconfig(SERVER) | {"clusters": []}))


@fault(
    "the context names a missing user", Hop.KUBECONFIG, Code.CONFIG_USER_MISSING,
    'the context names the user "test", which is not in the kubeconfig',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write(folder / "config", kubeconfig(SERVER) | {"users": []}))


@fault(
    "a file of certificates is missing", Hop.KUBECONFIG, Code.CONFIG_INVALID,
    'cluster "test" (~/config, line 1) names a certificate-authority that cannot be read: '
    "~/ca.pem: No such file or directory",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write_config(folder, SERVER, cluster={"certificate-authority": "ca.pem"}))


# Credentials --------------------------------------------------------------------------


def plugin(folder: Path, script: str, mode: str = "IfAvailable") -> dict[str, Any]:
    """Return a user whose credentials come from a shell script."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin",
            "interactiveMode": mode,
        }
    }  # fmt: skip


@contextlib.asynccontextmanager
async def with_user(folder: Path, user: dict[str, Any], **environ: str) -> AsyncIterator[Scene]:
    """Yield a healthy chain with this user."""
    async with secure_chain(folder) as (server, cluster):
        path = write_config(folder, server.url, user=user, cluster=cluster)
        yield Scene(path, environ={"PATH": "/bin", **environ})


@fault(
    "the credential plugin is not installed", Hop.CREDENTIALS, Code.AUTH_PLUGIN_MISSING,
    'the exec plugin "nosuch-login" is not installed, or not on the PATH',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    user = plugin(folder, "exit 0")
    user["exec"]["command"] = "nosuch-login"
    async with with_user(folder, user) as scene:
        yield scene


@fault(
    "kuberc does not allow the plugin", Hop.CREDENTIALS, Code.AUTH_PLUGIN_DENIED,
    'the exec plugin "plugin" may not run: credentialPluginPolicy is DenyAll in ~/kuberc',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    rules = {
        "apiVersion": "kubectl.config.k8s.io/v1beta1", "kind": "Preference",
        "credentialPluginPolicy": "DenyAll",
    }  # fmt: skip
    kuberc = write(folder / "kuberc", rules)
    async with with_user(folder, plugin(folder, "exit 0"), KUBERC=str(kuberc)) as scene:
        yield scene


@fault(
    "the plugin fails", Hop.CREDENTIALS, Code.AUTH_PLUGIN_FAILED,
    'the exec plugin "plugin" failed with exit code 3: session has expired, run corp login',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    user = plugin(folder, 'echo "session has expired, run corp login" >&2; exit 3')
    async with with_user(folder, user) as scene:
        yield scene


@fault(
    "the plugin prints no credentials", Hop.CREDENTIALS, Code.AUTH_PLUGIN_FAILED,
    'the exec plugin "plugin" did not print an ExecCredential',
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    user = plugin(folder, "echo Welcome")
    async with with_user(folder, user) as scene:
        yield scene


@fault(
    "the plugin needs a terminal", Hop.CREDENTIALS, Code.AUTH_TERMINAL_REQUIRED,
    "the credential plugin plugin needs a terminal to log in (interactiveMode: Always)",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    user = plugin(folder, "exit 0", mode="Always")
    async with with_user(folder, user) as scene:
        yield scene


@fault(
    "the plugin waits for a login", Hop.CREDENTIALS, Code.AUTH_LOGIN_RUNNING,
    "the credential plugin plugin is waiting: To sign in, open https://sso.example/device",
    "waits",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    user = plugin(folder, 'echo "To sign in, open https://sso.example/device" >&2; exec sleep 60')
    async with with_user(folder, user) as scene:
        yield replace(scene, limits=DoctorLimits(plugin_s=5.0))


def web_token(**claims: float | str) -> str:
    """Return a token with claims; its signature is none."""
    parts = ({"alg": "RS256"}, {"iss": "https://kubernetes", **claims}, {"sig": "none"})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(part.rstrip("=") for part in encoded)


@fault(
    "the token has expired", Hop.CREDENTIALS, Code.AUTH_TOKEN_EXPIRED,
    "the token of user test expired at 2020-09-13 12:26:40 UTC",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, tokens=()) as (server, cluster):
        user = {"token": web_token(exp=1_600_000_000)}
        yield Scene(write_config(folder, server.url, user=user, cluster=cluster))


@fault(
    "the token is not valid yet", Hop.CREDENTIALS, Code.AUTH_TOKEN_NOT_YET_VALID,
    "the token of user test is not valid before 2096-10-02 07:06:40 UTC",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, tokens=()) as (server, cluster):
        user = {"token": web_token(nbf=4_000_000_000)}
        yield Scene(write_config(folder, server.url, user=user, cluster=cluster))


@fault(
    "the client certificate has expired", Hop.CREDENTIALS, Code.AUTH_CERTIFICATE_EXPIRED,
    "the client certificate of user test expired at TIME",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, tokens=()) as (server, cluster):
        pair = Authority("clients").issue("jane", days=-1)
        path = write_config(folder, server.url, user=certificate_user(pair), cluster=cluster)
        yield Scene(path)


def certificate_user(pair: Pair) -> dict[str, str]:
    return {
        "client-certificate-data": base64.b64encode(pair.certificate).decode(),
        "client-key-data": base64.b64encode(pair.key).decode(),
    }


@contextlib.asynccontextmanager
async def secure_chain(
    folder: Path, *, tokens: tuple[str, ...] | None = None, pair: Pair | None = None,
    authority: Authority | None = None,
) -> AsyncIterator[tuple[ChainServer, dict[str, str]]]:  # fmt: skip
    """Run a chain with TLS; yields it and the cluster of a kubeconfig that trusts it."""
    authority = authority or Authority("cluster")
    tls = server_context(pair or authority.issue("server"), folder)
    async with running_chain(tls, tokens=tokens) as server:
        yield server, trusting(authority)


def trusting(authority: Authority) -> dict[str, str]:
    return {"certificate-authority-data": base64.b64encode(authority.pem).decode()}


# DNS ----------------------------------------------------------------------------------


def name_server(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Let the system's resolver fail as it does without such a name, or without an answer."""

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        if options.get("flags") == socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise socket.gaierror(error, "Name or service not known" if error == socket.EAI_NONAME
                              else "Temporary failure in name resolution")  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@fault(
    "the name of the API server is unknown", Hop.DNS, Code.NETWORK_DNS,
    "the name of the API server, 'api.nosuch.invalid', cannot be resolved: "
    "Name or service not known",
)  # fmt: skip
async def _(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    name_server(monkeypatch, socket.EAI_NONAME)
    yield Scene(write_config(folder, "https://api.nosuch.invalid:6443"))


@fault(
    "a short name without a search domain", Hop.DNS, Code.NETWORK_DNS_SHORT_NAME,
    "the name of kube-api has no domain, and none of this network completes it "
    "(search domains: corp.example)",
)  # fmt: skip
async def _(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    name_server(monkeypatch, socket.EAI_NONAME)
    monkeypatch.setattr(
        "tui_forward.session.doctor.network_hops.search_domains", lambda: ("corp.example",)
    )
    yield Scene(write_config(folder, "https://kube-api:6443"))


@fault(
    "no name server answers", Hop.DNS, Code.NETWORK_DNS_NO_ANSWER,
    "no name server answers for api.corp.example: "
    "Temporary failure in name resolution",
)  # fmt: skip
async def _(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    name_server(monkeypatch, socket.EAI_AGAIN)
    yield Scene(write_config(folder, "https://api.corp.example:6443"))


@fault(
    "a slow name server", Hop.DNS, Code.NETWORK_DNS_SLOW,
    "the name of localhost took S s to resolve", is_note=True,
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_chain() as server:
        path = write_config(folder, f"http://localhost:{server.port}")
        yield Scene(path, limits=DoctorLimits(port_s=0.3, slow_dns_s=0.0))


# Proxy --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxied(
    folder: Path, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    **scene: Any,
) -> AsyncIterator[Scene]:  # fmt: skip
    """Yield a scene whose proxy treats all connections alike."""
    async with serving(serve) as port:
        cluster = {"proxy-url": f"http://127.0.0.1:{port}"}
        yield Scene(write_config(folder, "https://api.corp:6443", cluster=cluster), **scene)


def answering(answer: bytes) -> Callable[..., Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read(-1)

    return serve


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(64)


PROXY = "the proxy http://127.0.0.1:PORT"


@fault(
    "the proxy forbids the connection", Hop.PROXY, Code.NETWORK_PROXY_REFUSED,
    f"{PROXY} does not allow connections to api.corp:6443: 403 Forbidden, Access denied by policy",
    "Forbidden",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with proxied(folder, answering(page(403, "Access denied by policy"))) as scene:
        yield scene


@fault(
    "the proxy wants a password", Hop.PROXY, Code.NETWORK_PROXY_AUTH,
    f"{PROXY} requires a user and a password, or does not accept them (407)",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    proxy = ConnectProxy(1)
    async with running(proxy):
        cluster = {"proxy-url": f"http://127.0.0.1:{proxy.port}"}
        yield Scene(write_config(folder, "https://api.corp:6443", cluster=cluster))


@fault(
    "the proxy cannot reach the API server", Hop.PROXY, Code.NETWORK_PROXY_FAILED,
    f"{PROXY} cannot reach api.corp:6443: 502 Bad Gateway",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with proxied(folder, answering(page(502, "Bad Gateway"))) as scene:
        yield scene


@fault(
    "the proxy is down", Hop.PROXY, Code.NETWORK_PROXY_UNREACHABLE,
    f"{PROXY} cannot be reached: it refuses connections",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with serving(close) as port:
        pass
    environ = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
    yield Scene(write_config(folder, "https://api.corp:6443"), environ=environ)


@fault(
    "the proxy closes the connection", Hop.PROXY, Code.NETWORK_PROXY_CLOSED,
    f"{PROXY} closed the connection without an answer",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with proxied(folder, close) as scene:
        yield scene


@fault(
    "the proxy does not answer", Hop.PROXY, Code.NETWORK_PROXY_TIMEOUT,
    f"{PROXY} does not answer the request to connect to api.corp:6443 within 0.3 s", "waits",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with proxied(folder, never, limits=DoctorLimits(connect_s=0.3)) as scene:
        yield scene


@fault(
    "the proxy is no HTTP proxy", Hop.PROXY, Code.NETWORK_PROXY_NOT_HTTP,
    "unexpected data from the proxy http://127.0.0.1:PORT: illegal status line: "
    "bytearray(b'SSH-2.0-OpenSSH')",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with proxied(folder, answering(b"SSH-2.0-OpenSSH\r\n\r\n")) as scene:
        yield scene


# TCP ----------------------------------------------------------------------------------


@fault(
    "nothing listens at the address", Hop.TCP, Code.NETWORK_REFUSED,
    "the API server at 127.0.0.1:PORT refuses connections",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(write_config(folder, SERVER))


@fault(
    "packets are dropped", Hop.TCP, Code.NETWORK_TIMEOUT,
    "the API server at 127.0.0.1:PORT does not answer", "waits",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    # Of a listener whose backlog is full, the system answers no further connection.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        path = write_config(folder, f"https://127.0.0.1:{listener.getsockname()[1]}")
        yield Scene(path, limits=DoctorLimits(connect_s=0.3))


# TLS ----------------------------------------------------------------------------------


@fault(
    "the authority is unknown", Hop.TLS, Code.NETWORK_CERTIFICATE,
    "the certificate of '127.0.0.1' is not trusted: it is issued by intermediate",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    root = Authority("another root")
    intermediate = Authority("intermediate", issuer=root)
    pair = intermediate.issue("server")
    chain = Pair(pair.certificate + intermediate.pem, pair.key)
    async with secure_chain(folder, pair=chain) as (server, cluster):
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "the system's authorities do not suffice", Hop.TLS, Code.NETWORK_CERTIFICATE,
    "the certificate of '127.0.0.1' is not trusted: it is issued by cluster",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder) as (server, _cluster):
        content = kubeconfig(server.url, namespace=NAMESPACE)
        content["clusters"][0]["cluster"] = {"server": server.url}
        yield Scene(write(folder / "config", content))


@fault(
    "the cluster was created again", Hop.TLS, Code.NETWORK_CERTIFICATE_REPLACED,
    "the certificate of '127.0.0.1' is issued by another authority of the same name "
    "(kubernetes) as the one in the kubeconfig: the cluster was created again, "
    "or it is another one",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, authority=Authority("kubernetes")) as (server, _cluster):
        before = trusting(Authority("kubernetes"))
        yield Scene(write_config(folder, server.url, cluster=before))


@fault(
    "the server sends no intermediate certificate", Hop.TLS, Code.NETWORK_CERTIFICATE_CHAIN,
    "'127.0.0.1' sends its certificate without that of issuing CA 2, "
    "which is not in certificate-authority",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    root = Authority("root")
    pair = Authority("issuing CA 2", issuer=root).issue("server")
    async with secure_chain(folder, pair=pair, authority=root) as (server, cluster):
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "a proxy terminates TLS", Hop.TLS, Code.NETWORK_TLS_INTERCEPTED,
    "a proxy terminates TLS on the way to '127.0.0.1': its certificate is issued by "
    "Zscaler Intermediate Root CA",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    intercepting = Authority("Zscaler Intermediate Root CA")
    async with secure_chain(folder, authority=intercepting) as (server, _cluster):
        own = trusting(Authority("kubernetes"))
        yield Scene(write_config(folder, server.url, cluster=own))


@fault(
    "the certificate has another name", Hop.TLS, Code.NETWORK_CERTIFICATE_NAME,
    "the certificate of the server is not for '127.0.0.1': "
    "IP address mismatch, certificate is not valid for '127.0.0.1'",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    authority = Authority("cluster")
    pair = authority.issue("server", names=("api.corp",))
    async with secure_chain(folder, pair=pair, authority=authority) as (server, cluster):
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "the certificate has expired", Hop.TLS, Code.NETWORK_CERTIFICATE_EXPIRED,
    "the certificate of '127.0.0.1' has expired",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    authority = Authority("cluster")
    async with secure_chain(
        folder, pair=authority.issue("server", days=-1), authority=authority
    ) as (server, cluster):
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "the certificate is not valid yet", Hop.TLS, Code.NETWORK_CERTIFICATE_NOT_YET_VALID,
    "the certificate of '127.0.0.1' is not valid yet",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    authority = Authority("cluster")
    async with secure_chain(
        folder, pair=authority.issue("server", begins_in_days=1), authority=authority
    ) as (server, cluster):
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "the server has only TLS 1.1", Hop.TLS, Code.NETWORK_TLS_VERSION,
    "127.0.0.1 supports no version of TLS that is used here (TLS 1.2 and later): "
    "tlsv1 alert protocol version",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    # The alert of a server that has no version in common (RFC 8446, section 6.2).
    async with serving(greeting(b"\x15\x03\x01\x00\x02\x02\x46")) as port:
        yield Scene(write_config(folder, f"https://127.0.0.1:{port}"))


@fault(
    "the server refuses the client certificate", Hop.TLS, Code.NETWORK_CLIENT_CERTIFICATE,
    "127.0.0.1 refused the client certificate: it does not trust its authority",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    authority = Authority("cluster")
    tls = server_context(authority.issue("server"), folder, clients=authority)
    server = Server(tls)  # asyncio's closes the connection before its alert is sent
    try:
        user = certificate_user(Authority("others").issue("jane"))
        yield Scene(write_config(folder, server.url, user=user, cluster=trusting(authority)))
    finally:
        await asyncio.get_running_loop().run_in_executor(None, server.stop)


@fault(
    "the handshake is not answered", Hop.TLS, Code.NETWORK_TLS_TIMEOUT,
    "127.0.0.1:PORT accepts connections, but does not answer the TLS handshake within 0.3 s",
    "waits",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with serving(never) as port:
        path = write_config(folder, f"https://127.0.0.1:{port}")
        yield Scene(path, limits=DoctorLimits(connect_s=0.3))


@fault(
    "https:// towards a server without TLS", Hop.TLS, Code.NETWORK_NOT_TLS,
    "127.0.0.1 does not support TLS on this port", "waits",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with serving(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        yield Scene(write_config(folder, f"https://127.0.0.1:{port}"))


def greeting(answer: bytes) -> Callable[..., Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(answer)
        await writer.drain()
        await reader.read(-1)

    return serve


# API server ---------------------------------------------------------------------------


def version_answer(name: str, hop: DoctorHop, code: ReasonCode, says: str, reply: Reply) -> None:
    """Add a row for a server that answers the request for its version in this way."""

    async def produce(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        async with running_chain() as server:
            server.intercept = lambda _: reply
            yield Scene(write_config(folder, server.url))

    fault(name, hop, code, says)(produce)


def html(title: str, body: str = "") -> bytes:
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>".encode()


version_answer(
    "another server answers", Hop.API, Code.API_NOT_KUBERNETES,
    "127.0.0.1:PORT is no Kubernetes API server: it answers 200, Welcome to nginx!",
    Reply(200, html("Welcome to nginx!"), "text/html"),
)  # fmt: skip
version_answer(
    "another server does not know the path", Hop.API, Code.API_NOT_KUBERNETES,
    "127.0.0.1:PORT is no Kubernetes API server: it answers 404, 404 page not found",
    Reply(404, b"404 page not found", "text/plain"),
)  # fmt: skip
version_answer(
    "a login page answers", Hop.API, Code.API_LOGIN_PAGE,
    "127.0.0.1:PORT answers with a login page: Corp portal",
    Reply(200, html("Corp portal", '<input type="password">'), "text/html"),
)  # fmt: skip
version_answer(
    "a gateway redirects to a login", Hop.API, Code.API_REDIRECTED,
    "127.0.0.1:PORT redirects to sso.corp.example, which is not followed: it may be a login page",
    Reply(302, b"", "text/html", {"Location": "https://sso.corp.example/login?rd=x"}),
)  # fmt: skip
version_answer(
    "a gateway cannot reach the API server", Hop.API, Code.API_GATEWAY,
    "a gateway in front of the API server (nginx) answered 502 to get the version: 502 Bad Gateway",
    Reply(502, html("502 Bad Gateway"), "text/html", {"Server": "nginx"}),
)  # fmt: skip
version_answer(
    "the API server is busy", Hop.API, Code.API_THROTTLED,
    "127.0.0.1:PORT is busy (429): cannot get the version; it asks to wait 1 s",
    Reply(429, b"Too many requests, please try again later.", "text/plain",
          {"Audit-Id": "a", "Retry-After": "1"}),
)  # fmt: skip
version_answer(
    "the API server fails", Hop.API, Code.API_ERROR,
    "127.0.0.1:PORT answered 500 to get the version: etcdserver: request timed out",
    Reply(500, status_body(500, "InternalError", "etcdserver: request timed out")),
)  # fmt: skip
version_answer(
    "http:// towards a server with TLS", Hop.API, Code.NETWORK_NOT_HTTP,
    "127.0.0.1:PORT expects TLS, but `server` in the kubeconfig begins with http://",
    Reply(400, b"Client sent an HTTP request to an HTTPS server.\n", "text/plain"),
)  # fmt: skip


@fault(
    "the clock of this machine is wrong", Hop.API, Code.API_CLOCK_DIFFERENCE,
    "the clock of this machine is 2h00m behind the API server", is_note=True,
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_chain() as server:
        server.answers["/version"] = dated_version(7205)
        yield Scene(write_config(folder, server.url))


@fault(
    "the API server answers slowly", Hop.API, Code.API_SLOW,
    "127.0.0.1:PORT took S s to answer", is_note=True,
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_chain() as server:
        limits = DoctorLimits(port_s=0.3, slow_answer_s=0.0)
        yield Scene(write_config(folder, server.url), limits=limits)


def dated_version(ahead_s: float) -> Reply:
    """Return an answer of a server whose clock is ahead."""
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + ahead_s))
    return Reply(200, b'{"gitVersion":"v1.36.2"}', headers={"Date": at})


# Identity -----------------------------------------------------------------------------


@fault(
    "the token is not accepted", Hop.IDENTITY, Code.AUTH_TOKEN_REFUSED,
    "127.0.0.1:PORT does not accept the token of user test",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, tokens=()) as (server, cluster):
        server.open_paths = ("/version",)
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "refused, and the clocks differ", Hop.IDENTITY, Code.AUTH_WRONG_CLOCK,
    "127.0.0.1:PORT refused the credentials, and the clock of this machine is "
    "2h00m ahead of the API server",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder, tokens=()) as (server, cluster):
        server.open_paths = ("/version",)
        server.answers["/version"] = dated_version(-7205)
        yield Scene(write_config(folder, server.url, cluster=cluster))


@fault(
    "the server sees no credentials", Hop.IDENTITY, Code.AUTH_NO_CREDENTIALS,
    "user test of the kubeconfig has no credentials for 127.0.0.1:PORT",
)  # fmt: skip
async def _(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with secure_chain(folder) as (server, cluster):
        message = (
            'selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" '
            'cannot create resource "selfsubjectreviews" in API group "authentication.k8s.io" '
            "at the cluster scope"
        )
        server.answers["/selfsubjectreviews"] = Reply(403, status_body(403, "Forbidden", message))
        server.user, server.rules = "system:anonymous", []
        yield Scene(write_config(folder, server.url, cluster=cluster))


# Permissions --------------------------------------------------------------------------

READ_PODS = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}


def rule(*verbs: str) -> dict[str, Any]:
    return {"verbs": list(verbs), "apiGroups": [""], "resources": ["pods/portforward"]}


def permissions(name: str, says: str, *rules: dict[str, Any], is_note: bool = False) -> None:
    """Add a row for a user who has these rules only."""

    async def produce(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        async with running_chain() as server:
            server.rules = list(rules)
            yield Scene(write_config(folder, server.url), target(port="1001"))

    fault(name, Hop.PERMISSIONS, Code.RBAC_FORBIDDEN, says, is_note=is_note)(produce)


permissions(
    "the user may do nothing",
    "not allowed to create pods/portforward in namespace shop as jane",
)
permissions(
    "the user may read pods only",
    "not allowed to create pods/portforward in namespace shop as jane",
    READ_PODS,
)
permissions(
    "the user may only get pods/portforward",
    "not allowed to create pods/portforward in namespace shop as jane",
    READ_PODS, rule("get"),
)  # fmt: skip
permissions(
    "the user may only create pods/portforward",
    "not allowed to get pods/portforward in namespace shop as jane",
    READ_PODS, rule("create"), is_note=True,
)  # fmt: skip


# Target -------------------------------------------------------------------------------


def chain_fault(
    name: str, hop: DoctorHop, code: ReasonCode, says: str, tested: Target,
    change: Callable[[ChainServer], object] = lambda _: None, *, is_note: bool = False,
    limits: DoctorLimits = LIMITS,
) -> None:  # fmt: skip
    """Add a row for a healthy chain after a change."""

    async def produce(folder: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        async with running_chain() as server:
            change(server)
            yield Scene(write_config(folder, server.url), tested, limits=limits)

    fault(name, hop, code, says, is_note=is_note)(produce)


SVC, DEPLOY = TargetKind.SERVICE, TargetKind.DEPLOYMENT


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    container = {
        "name": "main", "ready": False, "restartCount": 0, "image": "i", "imageID": "",
        "state": {"waiting": {"reason": reason, "message": message}},
    }  # fmt: skip
    return {"containerStatuses": [container], "conditions": []}


chain_fault(
    "no such pod", Hop.TARGET, Code.TARGET_NOT_FOUND,
    'there is no pod "web-2" in namespace shop', target("web-2"),
)  # fmt: skip
chain_fault(
    "no such service", Hop.TARGET, Code.TARGET_NOT_FOUND,
    'there is no service "webb" in namespace shop', target("webb", SVC),
)  # fmt: skip
chain_fault(
    "no such namespace", Hop.TARGET, Code.TARGET_NAMESPACE_NOT_FOUND,
    "namespace shpo does not exist", target(namespace="shpo"),
)  # fmt: skip
chain_fault(
    "the selector of the service matches nothing", Hop.TARGET, Code.TARGET_NO_MATCHING_PODS,
    "no pod in namespace shop matches the selector of svc/web (app=other)", target("web", SVC),
    lambda server: server.put("services", service(selector={"app": "other"})),
)  # fmt: skip
chain_fault(
    "the service has no selector and no endpoints", Hop.TARGET, Code.TARGET_NO_ENDPOINTS,
    "svc/web has neither a selector nor endpoints", target("web", SVC),
    lambda server: server.put("services", service(selector={})),
)  # fmt: skip
chain_fault(
    "the service is another host's name", Hop.TARGET, Code.TARGET_EXTERNAL_NAME,
    "svc/web is the ExternalName db.example.com, so it has no pods to forward to",
    target("web", SVC),
    lambda server: server.put(
        "services",
        service(selector={}, type="ExternalName", externalName="db.example.com", clusterIP=""),
    ),
)  # fmt: skip
chain_fault(
    "the service has no such port", Hop.TARGET, Code.PORT_UNKNOWN_NUMBER,
    "svc/web has no port 81", target("web", SVC, "81"),
)  # fmt: skip
chain_fault(
    "the pod has no port of that name", Hop.TARGET, Code.PORT_UNKNOWN_NAME,
    'pod web-1 has no port named "metrics"', target(port="metrics"),
)  # fmt: skip
chain_fault(
    "the named port of the service is missing", Hop.TARGET, Code.PORT_TARGET_NAME_MISSING,
    'port 80 of svc/web leads to a port named "web", which pod web-1 does not have',
    target("web", SVC),
    lambda server: server.put(
        "services", service(ports=[{"port": 80, "targetPort": "web", "protocol": "TCP"}])
    ),
)  # fmt: skip
chain_fault(
    "no container declares the port", Hop.TARGET, Code.PORT_NOT_DECLARED,
    "no container of pod web-1 declares port 1007", target(port="1007"), is_note=True,
)  # fmt: skip
chain_fault(
    "no port is declared and none is named", Hop.TARGET, Code.PORT_UNKNOWN_NUMBER,
    "pod/web-1 declares no TCP port that could be tested", target(),
    lambda server: server.put("pods", pod(port=0)),
)  # fmt: skip
chain_fault(
    "the image cannot be pulled", Hop.TARGET, Code.POD_IMAGE_PULL,
    "pod web-1 cannot pull its image: no such host", target(),
    lambda server: server.put(
        "pods", pod(phase="Pending", **waiting("ErrImagePull", "no such host"))
    ),
)  # fmt: skip
chain_fault(
    "the container is being created", Hop.TARGET, Code.POD_CREATING,
    "pod web-1 is still being created", target(),
    lambda server: server.put("pods", pod(phase="Pending", **waiting("ContainerCreating"))),
)  # fmt: skip
chain_fault(
    "no node has room for the pod", Hop.TARGET, Code.POD_NOT_SCHEDULED,
    "pod web-1 is not scheduled to a node: 0/1 nodes are available: 1 Insufficient cpu", target(),
    lambda server: server.put("pods", pod(
        node="", phase="Pending", containerStatuses=[], conditions=[{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }],
    )),
)  # fmt: skip
chain_fault(
    "the pod is not ready", Hop.TARGET, Code.POD_NOT_READY,
    "pod web-1 is not Ready", target(),
    lambda server: server.put("pods", pod(conditions=[{"type": "Ready", "status": "False"}])),
    is_note=True,
)  # fmt: skip


# Upgrade ------------------------------------------------------------------------------

TRANSPORTS = ("spdy", "websocket", "channels")


def upgrade_fault(
    name: str, hop: DoctorHop, code: ReasonCode, says: str, answer: bytes | None,
    kinds: tuple[str, ...] = TRANSPORTS, *, is_note: bool = False, limits: DoctorLimits = LIMITS,
) -> None:  # fmt: skip
    """Add a row for a chain that answers upgrades of these transports in this way."""
    chain_fault(
        name, hop, code, says, target(),
        lambda server: server.upgrades.update(dict.fromkeys(kinds, answer)),
        is_note=is_note, limits=limits,
    )  # fmt: skip


upgrade_fault(
    "something removes the Upgrade header", Hop.UPGRADE, Code.API_UPGRADE_STRIPPED,
    "something between here and the API server removes the Upgrade header of requests",
    refusal(400, "BadRequest", "Upgrade request required"),
)  # fmt: skip
upgrade_fault(
    "a gateway forbids upgrades", Hop.UPGRADE, Code.API_FORBIDDEN,
    "a gateway in front of the API server (awselb/2.0) forbids the request (403): 403 Forbidden",
    page(403, "403 Forbidden", "Server: awselb/2.0"),
)  # fmt: skip
upgrade_fault(
    "a gateway refuses SPDY only", Hop.UPGRADE, Code.API_GATEWAY,
    "a gateway in front of the API server answered 400: 400 Bad Request",
    page(400, "400 Bad Request"), ("spdy",), is_note=True,
)  # fmt: skip
upgrade_fault(
    "cri-dockerd answers WebSockets in plain HTTP", Hop.UPGRADE, Code.RUNTIME_PLAIN_HTTP,
    "the container runtime of node-a answers WebSocket upgrades in plain HTTP, as cri-dockerd does",
    plain_refusal(500, 'error sending request: Post "//[::]:33733/cri/portforward/x": '
                       "http: server gave HTTP response to HTTPS client"),
    ("websocket", "channels"), is_note=True,
)  # fmt: skip
upgrade_fault(
    "the kubelet cannot be reached", Hop.KUBELET, Code.KUBELET_UNREACHABLE,
    "the API server cannot reach the kubelet of node-a at 10.0.0.9:10250: it refuses connections",
    refusal(500, "", "error dialing backend: dial tcp 10.0.0.9:10250: connect: connection refused"),
)  # fmt: skip
upgrade_fault(
    "the kubelet does not answer", Hop.KUBELET, Code.KUBELET_NO_ANSWER,
    "the API server answers, but the kubelet of node-a does not within 0.3 s", None,
    limits=DoctorLimits(upgrade_s=0.3, port_s=0.3),
)  # fmt: skip
upgrade_fault(
    "the kubelet's certificate is not trusted", Hop.KUBELET, Code.KUBELET_CERTIFICATE,
    "the API server does not trust the kubelet of node-a: "
    "its certificate is signed by an unknown authority",
    refusal(500, "", "error dialing backend: tls: failed to verify certificate: x509: certificate "
                     "signed by unknown authority"),
)  # fmt: skip
upgrade_fault(
    "the kubelet refuses the API server", Hop.KUBELET, Code.KUBELET_UNAUTHORIZED,
    "the kubelet of node-a refuses the API server's credentials (401)",
    plain_refusal(401, "Unauthorized"),
)  # fmt: skip
upgrade_fault(
    "the kubelet forbids it to the API server", Hop.KUBELET, Code.KUBELET_FORBIDDEN,
    "the kubelet of node-a does not allow it to the API server, "
    "which it knows as weak-apiserver (403)",
    plain_refusal(403, "Forbidden (user=weak-apiserver, verb=create, resource=nodes, "
                       "subresource(s)=[proxy])"),
)  # fmt: skip
upgrade_fault(
    "the node has no address", Hop.KUBELET, Code.KUBELET_NO_ADDRESS,
    "node node-a has no address yet",
    refusal(500, "", "no preferred addresses found; known addresses: []"),
)  # fmt: skip
upgrade_fault(
    "the node does not exist any more", Hop.KUBELET, Code.NODE_MISSING,
    "node node-b does not exist any more",
    refusal(404, "NotFound", 'pods "node-b" not found'),
)  # fmt: skip
upgrade_fault(
    "the runtime is down", Hop.RUNTIME, Code.RUNTIME_UNREACHABLE,
    "the container runtime of node-a is down: dial unix /run/containerd/containerd.sock: "
    "connect: no such file or directory",
    plain_refusal(500, 'rpc error: code = Unavailable desc = connection error: desc = "transport: '
                       "Error while dialing: dial unix /run/containerd/containerd.sock: connect: "
                       'no such file or directory"'),
)  # fmt: skip
upgrade_fault(
    "the pod has no sandbox", Hop.RUNTIME, Code.POD_NOT_RUNNING,
    'pod web-1 does not run: pod not found ("web-1_shop")',
    plain_refusal(500, 'pod not found ("web-1_shop")'),
)  # fmt: skip
upgrade_fault(
    "the sandbox is gone", Hop.RUNTIME, Code.RUNTIME_SANDBOX_GONE,
    "the pod's sandbox no longer exists",
    plain_refusal(500, "rpc error: code = Unknown desc = sandbox container is not running"),
)  # fmt: skip


# Port ---------------------------------------------------------------------------------

REFUSED, GONE = 1004, 1008  # of `FakeCluster`


def port_fault(
    name: str, code: ReasonCode, says: str, port: int, hop: DoctorHop = Hop.PORT,
    change: Callable[[ChainServer], object] = lambda _: None,
) -> None:  # fmt: skip
    """Add a row for an application that behaves like this port of the fake cluster; it answers."""

    def prepare(server: ChainServer) -> None:
        server.put("pods", pod(port=port))
        change(server)

    chain_fault(name, hop, code, says, target(), prepare, limits=ACTIVE_PORT)


port_fault(
    "nothing listens on the port", Code.PORT_REFUSED,
    "nothing listens on port 1004 in pod web-1", REFUSED,
)  # fmt: skip
port_fault(
    "the sandbox is gone meanwhile", Code.RUNTIME_SANDBOX_GONE,
    "the pod's sandbox no longer exists", GONE, Hop.RUNTIME,
)  # fmt: skip
