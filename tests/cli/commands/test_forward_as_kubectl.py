"""Arguments of `forward` and of `kubectl port-forward`: accepted or refused alike, same ports.

The tables hold what kubectl 1.32 and 1.37 do, with one line per form of arguments:

    ARGUMENTS -> POD LOCAL:REMOTE … | what differs here: reason

`-` is a refusal. Local port 0 is any free one. README lists the differences.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec.structs import replace

from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.kubectl_peer import GO_SETTINGS, find_kubectl
from tests.kube.port_forward_api import PortForwardApi
from tui_forward.catalog.target_watch import CatalogTargetResolver
from tui_forward.cli.commands import forward
from tui_forward.cli.main import cli
from tui_forward.engine.forwards.open_listener import _port_request
from tui_forward.errors import ConfigError, UsageError
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.model import ForwardSpec, Resolved
from tui_forward.reasons import blocked_by

REFUSED = "-"
# Nothing can listen here, so that kubectl lists the ports that it wanted, and ends.
UNUSABLE_ADDRESS = "192.0.2.1"
LOCALHOST = {"localhost": ("127.0.0.1", "::1")}

TARGETS = """
web-1 8080 -> web-1 8080:8080
pod/web-1 8080 -> web-1 8080:8080
pods/web-1 8080 -> web-1 8080:8080
po/web-1 8080 -> web-1 8080:8080
POD/web-1 8080 -> web-1 8080:8080
pod./web-1 8080 -> web-1 8080:8080
pods.v1./web-1 8080 -> web-1 8080:8080
pods.v1/web-1 8080 -> -
pod.v2./web-1 8080 -> -
pod.apps/web-1 8080 -> -
svc/web 80 -> web-1 80:8080
Services/web 80 -> web-1 80:8080
services.v1./web 80 -> web-1 80:8080
SVC/web 80 -> -
deploy/web 8080 -> web-1 8080:8080
Deployments.apps/web 8080 -> web-1 8080:8080
deploy.v1.apps/web 8080 -> web-1 8080:8080
deploy./web 8080 -> web-1 8080:8080
deploy.v1./web 8080 -> web-1 8080:8080
deployment.v1beta1.apps/web 8080 -> -
deploy.v1/web 8080 -> -
deploy.batch/web 8080 -> -
deployments.Apps/web 8080 -> -
DEPLOY/web 8080 -> -
x.apps/web 8080 -> -
rs/web 8080 -> web-1 8080:8080
sts.apps/web 8080 -> web-1 8080:8080
ds/web 8080 -> web-1 8080:8080
rc/web 8080 -> web-1 8080:8080
job/web 8080 -> web-1 8080:8080
jobs.v1.batch/web 8080 -> web-1 8080:8080
node/web 8080 -> -
web.example.org/web 8080 -> -
pod/web-1 pod/pods 8080 -> -
pods web-1 8080 -> -
pods 8080 -> pods 8080:8080
pod web-1 8080 -> -
pod/web-1 -> -
pod/ 8080 -> -
/web-1 8080 -> -
svc/web,svc/headless 80 -> -
svc,deploy/web 80 -> -
pod/gone 8080 -> -
pod/Web_1 8080 -> -
'' 8080 -> -
"""

PORTS = """
pod/web-1 :8080 -> web-1 0:8080
pod/web-1 0:8080 -> web-1 0:8080
pod/web-1 9:8080 -> web-1 9:8080
pod/web-1 9:http -> web-1 9:8080
pod/web-1 http -> web-1 8080:8080
pod/web-1 http:8080 -> -
pod/web-1 9:HTTP -> -
pod/web-1 9:nope -> -
pod/web-1 9:dns -> -
pod/web-1 9:53 -> -
pod/web-1 9:80:90 -> web-1 9:9 | -: a mistake
pod/web-1 9: -> -
pod/web-1 '' -> -
pod/web-1 0 -> -
pod/web-1 65535 -> web-1 65535:65535
pod/web-1 65536 -> -
pod/web-1 65536:80 -> -
pod/web-1 99999999999999999999 -> -
pod/web-1 -- -1:80 -> -
pod/web-1 -80 -> -
pod/web-1 +80 -> -
pod/web-1 +9:80 -> -
pod/web-1 08080 -> web-1 8080:8080
pod/web-1 0009:08080 -> web-1 9:8080
pod/web-1 ' 80' -> -
pod/web-1 '9: 80' -> -
pod/web-1 80,81 -> -
pod/web-1 ８０ -> -
pod/web-1 9:٨٠ -> -
pod/web-1 0x50 -> -
pod/web-1 80/tcp -> -
pod/web-1 80 81 -> web-1 80:80 81:81
pod/web-1 :80 :80 -> web-1 0:80 0:80
pod/web-1 80 80 -> web-1 80:80 80:80
pod/web-1 9:80 9:81 -> web-1 9:80 9:81 | -: a mistake
pod/pending 8080 -> - | waits: the pod may start
"""

SERVICE_PORTS = """
svc/web http -> web-1 80:8080
svc/web :http -> web-1 0:8080
svc/web 9:http -> web-1 9:8080
svc/web 9:81 -> web-1 9:9090
svc/web 9:by-name -> web-1 9:9090
svc/web 9:+80 -> web-1 9:8080 | -: refused for pods, too
svc/web +80 -> -
svc/web 080 -> web-1 80:8080
svc/web 8080 -> -
svc/web 9:nope -> -
svc/web 8125 -> -
svc/web 9:80:1 -> -
svc/web 9: -> -
svc/headless 80 -> web-1 80:80
svc/headless 9:http -> web-1 9:80
svc/headless 9:by-name -> web-1 9:81
svc/bare 80 -> -
svc/gone 80 -> -
deploy/web http -> web-1 8080:8080
deploy/web 9:metrics -> web-1 9:9090
"""

OPTIONS = """
-n shop pod/web-1 8080 -> shop/web-1 8080:8080
-n=shop pod/web-1 8080 -> shop/web-1 8080:8080
-nshop pod/web-1 8080 -> shop/web-1 8080:8080
--namespace=shop pod/web-1 8080 -> shop/web-1 8080:8080
pod/web-1 8080 -n shop -> shop/web-1 8080:8080
pod/web-1 -n shop 8080 -> shop/web-1 8080:8080
-n '' pod/web-1 8080 -> web-1 8080:8080
-n= pod/web-1 8080 -> -
--namespace= pod/web-1 8080 -> web-1 8080:8080
-n default -n shop pod/web-1 8080 -> shop/web-1 8080:8080
-n shop/ pod/web-1 8080 -> -
pod/web-1 8080 -n -> -
-A pod/web-1 8080 -> -
-- pod/web-1 8080 -> web-1 8080:8080
pod/web-1 -- 8080 -> web-1 8080:8080
pod/web-1 8080 -- -> web-1 8080:8080
pod/web-1 8080 -- -n shop -> -
-n -- pod/web-1 8080 -> -
--names shop pod/web-1 8080 -> -
-namespace shop pod/web-1 8080 -> -
--context test pod/web-1 8080 -> web-1 8080:8080
--context= pod/web-1 8080 -> web-1 8080:8080
--context nope pod/web-1 8080 -> -
--cluster test --user test pod/web-1 8080 -> web-1 8080:8080
--cluster nope pod/web-1 8080 -> -
--as=bob --as-group= pod/web-1 8080 -> web-1 8080:8080
--nope pod/web-1 8080 -> -
-v=6 pod/web-1 8080 -> web-1 8080:8080
-v 6 pod/web-1 8080 -> web-1 8080:8080
-v6 pod/web-1 8080 -> web-1 8080:8080
--v=6 pod/web-1 8080 -> web-1 8080:8080
-v=x pod/web-1 8080 -> -
-v pod/web-1 8080 -> - | web-1 8080:8080: an option of its own
-q pod/web-1 8080 -> - | web-1 8080:8080: an option of its own
-l app=web 8080 -> - | web-1 8080:8080: an option of its own
--vmodule= pod/web-1 8080 -> web-1 8080:8080
--warnings-as-errors pod/web-1 8080 -> web-1 8080:8080
--log-flush-frequency 5s pod/web-1 8080 -> web-1 8080:8080
--profile none pod/web-1 8080 -> web-1 8080:8080
"""

VALUES = """
--pod-running-timeout 5s pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=1h1m1s1ms1us1ns pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=1.5h pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=1000000µs pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=.5s pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=5.s pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=+5s pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=1s1m pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=100h pod/web-1 8080 -> web-1 8080:8080
--pod-running-timeout=0 pod/web-1 8080 -> -
--pod-running-timeout=-5s pod/web-1 8080 -> -
--pod-running-timeout=5 pod/web-1 8080 -> - | web-1 8080:8080: seconds, as for all durations
--pod-running-timeout=5d pod/web-1 8080 -> -
--pod-running-timeout= pod/web-1 8080 -> -
--pod-running-timeout='1m 30s' pod/web-1 8080 -> -
--pod-running-timeout=9999999h pod/web-1 8080 -> -
--request-timeout 5s pod/web-1 8080 -> web-1 8080:8080
--request-timeout 5 pod/web-1 8080 -> web-1 8080:8080
--request-timeout 0 pod/web-1 8080 -> web-1 8080:8080
--request-timeout= pod/web-1 8080 -> web-1 8080:8080
--request-timeout=+5 pod/web-1 8080 -> web-1 8080:8080
--request-timeout=1.5 pod/web-1 8080 -> -
--request-timeout=-1 pod/web-1 8080 -> -
--request-timeout=-1s pod/web-1 8080 -> web-1 8080:8080 | -: no request would end in time
--insecure-skip-tls-verify=TRUE pod/web-1 8080 -> web-1 8080:8080
--insecure-skip-tls-verify=False pod/web-1 8080 -> web-1 8080:8080
--insecure-skip-tls-verify=yes pod/web-1 8080 -> -
--insecure-skip-tls-verify= pod/web-1 8080 -> -
--insecure-skip-tls-verify false pod/web-1 8080 -> -
--disable-compression=1 pod/web-1 8080 -> web-1 8080:8080
--match-server-version=on pod/web-1 8080 -> -
"""
# Values of `--address`, and the addresses that listen.
ADDRESSES = """
localhost -> 127.0.0.1 ::1
127.0.0.1 -> 127.0.0.1
::1 -> ::1
127.0.0.1,::1 -> 127.0.0.1 ::1
localhost,127.0.0.1 -> 127.0.0.1 ::1
127.0.0.1,127.0.0.1 -> 127.0.0.1
::1,127.0.0.2,localhost -> 127.0.0.1 127.0.0.2 ::1
[::1] -> - | ::1: as `Forwarding from` writes it
' 127.0.0.1' -> - | 127.0.0.1: lists in files have blanks
127.0.0.1, -> -
fe80::1%lo -> - | fe80::1%lo: an address of an interface
myhost -> -
127.1 -> -
LOCALHOST -> -
127.0.0.1/8 -> -
127.0.0.01 -> -
"""
TABLES = {"targets": TARGETS, "ports": PORTS, "service ports": SERVICE_PORTS,
          "options": OPTIONS, "values": VALUES}  # fmt: skip


@dataclass(frozen=True)
class Form:
    text: str
    kubectl: str
    ours: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def parse_table(table: str) -> list[Form]:
    forms = []
    for line in table.strip().splitlines():
        text, _, outcome = line.partition(" -> ")
        kubectl, _, different = outcome.partition(" | ")
        forms.append(Form(text, kubectl, different.rpartition(": ")[0] or kubectl))
    return forms


def describe(namespace: str, pod: str, ports: list[tuple[int, int]]) -> str:
    place = pod if namespace == "default" else f"{namespace}/{pod}"
    return " ".join([place, *(f"{local}:{remote}" for local, remote in ports)])


@pytest.fixture(params=list(TABLES))
def forms(request: pytest.FixtureRequest) -> list[Form]:
    return parse_table(TABLES[request.param])


def parse_here(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[ForwardSpec, ...] | None:
    """Return the specs of a command line, with the context that it names; None if refused."""
    found: list[tuple[ForwardSpec, ...]] = []

    async def record(specs: tuple[ForwardSpec, ...], *_: Any, **__: Any) -> None:
        found.append(specs)

    monkeypatch.setattr(forward, "_forward", record)
    with suppress(UsageError, ConfigError, click.ClickException):
        cli.main(["forward", *words], prog_name="tui-forward", standalone_mode=False)
    return found[0] if found else None


async def resolve_here(specs: tuple[ForwardSpec, ...], clients: ClusterClients) -> str:
    """Return what the target of a command line is found to be."""
    ports = []
    resolver = CatalogTargetResolver(clients.get)
    place = ("", "")
    try:
        for spec in specs:
            client = clients.get(spec.target.context, spec.target.options)
            namespace = spec.target.namespace or client.namespace
            watch = resolver.watch(replace(spec.target, namespace=namespace))
            found = watch.current
            async with asyncio.timeout(60):
                while not isinstance(found, Resolved) and found.is_loading:
                    found = await watch.changed(found)
            if not isinstance(found, Resolved):
                # `forward` ends with what the user has to change, and waits for the rest.
                return REFUSED if blocked_by(found.reason) else "waits"
            request = _port_request(spec, found)
            assert request is not None
            ports.append((request.number, found.port))
            place = (namespace, found.pod.name)
    except ConfigError:
        return REFUSED
    finally:
        await resolver.close()
    return describe(*place, ports)


async def try_here(
    forms: list[Form], parsed: list[tuple[ForwardSpec, ...] | None]
) -> dict[str, str]:
    outcomes = {}
    clients = ClusterClients(KubeconfigSource())
    for form, specs in zip(forms, parsed, strict=True):
        outcomes[form.text] = REFUSED if specs is None else await resolve_here(specs, clients)
    await clients.close()
    return outcomes


def test_forward_takes_the_arguments_of_kubectl(
    forms: list[Form], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_home / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    parsed = [parse_here(form.words, monkeypatch) for form in forms]

    async def run() -> dict[str, str]:
        server = PortForwardApi()
        await server.start()
        try:
            write(path, kubeconfig(server.url))
            return await try_here(forms, parsed)
        finally:
            await server.stop()

    found = asyncio.run(run())
    different = [f"{one.text} -> {found[one.text]}" for one in forms if found[one.text] != one.ours]
    assert not different, "\n".join(different)


async def run_kubectl(words: list[str], kubectl: Path, home: Path) -> tuple[str, str]:
    """Return stdout and stderr of kubectl, which cannot listen at that address and ends."""
    process = await asyncio.create_subprocess_exec(
        kubectl, "port-forward", "--address", UNUSABLE_ADDRESS, *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "HOME": str(home), "KUBECONFIG": str(home / "kubeconfig"), "PATH": "/usr/bin:/bin",
            **GO_SETTINGS,
        },
    )  # fmt: skip
    output, errors = await process.communicate()
    return output.decode(), errors.decode()


async def try_kubectl(form: Form, kubectl: Path, server: PortForwardApi, home: Path) -> str:
    server.forwarded.clear()
    _, errors = await run_kubectl(form.words, kubectl, home)
    wanted = re.search(r"requested ports: \[(.*)\]", errors)
    if wanted is None:
        assert server.forwarded == [], errors
        return REFUSED
    pairs = re.findall(r"\{(\d+) (\d+)\}", wanted[1])
    return describe(*server.forwarded[0], [(int(local), int(remote)) for local, remote in pairs])


@pytest.mark.kubectl
@pytest.mark.any_python
async def test_tables_hold_what_kubectl_does(forms: list[Form], tmp_path: Path) -> None:
    kubectl = find_kubectl()
    if kubectl is None:
        pytest.skip("there is no kubectl of 1.36 or later")
    server = PortForwardApi()
    await server.start()
    try:
        write(tmp_path / "kubeconfig", kubeconfig(server.url))
        # One after another: `forwarded` belongs to the one that runs.
        found = {form.text: await try_kubectl(form, kubectl, server, tmp_path) for form in forms}
    finally:
        await server.stop()
    different = [
        f"{one.text} -> {found[one.text]}" for one in forms if found[one.text] != one.kubectl
    ]
    assert not different, "\n".join(different)


def test_forward_takes_the_addresses_of_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    different = []
    for form in parse_table(ADDRESSES):
        specs = parse_here(["--address", *form.words, "pod/web-1", ":8080"], monkeypatch)
        given = specs[0].addresses if specs is not None else (REFUSED,)
        found = {one for name in given for one in LOCALHOST.get(name, (name,))}
        if " ".join(sorted(found)) != form.ours:
            different.append(f"{form.text} -> {found}")
    assert not different, "\n".join(different)


@pytest.mark.kubectl
@pytest.mark.any_python
async def test_table_of_addresses_holds_what_kubectl_does(tmp_path: Path) -> None:
    kubectl = find_kubectl()
    if kubectl is None:
        pytest.skip("there is no kubectl of 1.36 or later")
    server = PortForwardApi()
    await server.start()
    different = []
    try:
        write(tmp_path / "kubeconfig", kubeconfig(server.url))
        for form in parse_table(ADDRESSES):
            words = ["--address", *form.words, "pod/web-1", ":8080"]
            output, _ = await run_kubectl(words, kubectl, tmp_path)
            found = re.findall(r"Forwarding from \[?([^]]*?)]?:\d+ ->", output) or [REFUSED]
            if " ".join(sorted(found)) != form.kubectl:
                different.append(f"{form.text} -> {found}")
    finally:
        await server.stop()
    assert not different, "\n".join(different)
