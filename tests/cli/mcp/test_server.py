"""The tools, called by the client of the official package."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tui_forward.common import paths
from tui_forward.session.local import LocalSession

# The package takes a second to import, which workers that run none of these tests are spared.
if TYPE_CHECKING:
    from mcp import Client
    from mcp.client.client import ConnectMode
    from mcp_types import ElicitRequestParams, ElicitResult

# The last revision with a handshake, and the one without.
MODES = ("legacy", "auto")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


@asynccontextmanager
async def client(
    cluster: ClusterProcess,
    mode: ConnectMode = "legacy",
    *,
    allow_protected: bool = False,
    **more: Any,
) -> AsyncIterator[Client]:
    from mcp import Client

    from tui_forward.cli.mcp.server import build_server

    session = LocalSession(cluster.kubeconfig)
    try:
        server = build_server(session, allow_protected=allow_protected)
        async with Client(server, mode=mode, **more) as connected:
            yield connected
    finally:
        await session.close()


async def call(connected: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await connected.call_tool(tool, arguments)
    assert not result.is_error, result.content
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


async def fail(connected: Client, tool: str, **arguments: Any) -> str:
    from mcp_types import TextContent

    result = await connected.call_tool(tool, arguments)
    assert result.is_error
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def protect(pattern: str = "mini*") -> None:
    settings = paths.settings_file()
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f'protected_contexts = ["{pattern}"]\n')


async def test_doctor_names_the_broken_hop(cluster: ClusterProcess) -> None:
    async with client(cluster) as connected:
        well = await call(connected, "doctor", target="svc/web", namespace="shop")
        assert well["healthy"]
        assert [one["hop"] for one in well["hops"]][-1] == "port"
        broken = await call(
            connected, "doctor", target="deploy/toolbox", port=7999, namespace="ops"
        )
        assert not broken["healthy"]
        (fault,) = [one for one in broken["hops"] if one["outcome"] == "fault"]
        assert (fault["hop"], fault["code"]) == ("port", "port.refused")
        assert "nothing listens" in fault["untrusted_cause"]
        assert fault["fix"]


async def test_doctor_in_a_protected_context(cluster: ClusterProcess) -> None:
    protect()
    async with client(cluster) as connected:
        text = await fail(connected, "doctor", target="svc/web", namespace="shop")
        assert "protected" in text
        assert (await call(connected, "doctor"))["healthy"]
    async with client(cluster, allow_protected=True) as connected:
        assert (await call(connected, "doctor", target="svc/web", namespace="shop"))["healthy"]


@pytest.mark.parametrize("mode", MODES)
async def test_forward_is_started_used_and_stopped(
    cluster: ClusterProcess, mode: ConnectMode
) -> None:
    async with client(cluster, mode) as connected:
        assert await call(connected, "list_forwards") == {"forwards": []}
        assert (await call(connected, "connections"))["connections"] == []
        started = await call(
            connected,
            "start_forward",
            target="deploy/web",
            port="http",
            namespace="shop",
            local_port=0,
        )
        assert started["state"] == "ready"
        assert started["target"] == "shop/deploy/web:http"
        port = int(started["local"][0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        listed = await call(connected, "connections", forward=started["id"])
        [connection] = listed["connections"]
        assert connection["bytes_to_pod"] == 25
        again = await call(
            connected, "start_forward", target="deploy/web", port="http", namespace="shop"
        )
        assert again["id"] == started["id"]
        [listed] = (await call(connected, "list_forwards"))["forwards"]
        assert listed["connections_total"] == 1
        stopped = await call(connected, "stop_forward", forward=started["id"])
        assert stopped["id"] == started["id"]
        assert await call(connected, "list_forwards") == {"forwards": []}
        assert "there is no forward" in await fail(connected, "stop_forward", forward=started["id"])


async def test_targets_have_ports_and_are_marked(cluster: ClusterProcess) -> None:
    async with client(cluster) as connected:
        answer = await call(connected, "list_targets", namespace="shop")
        targets = {one["target"]: one for one in answer["untrusted_targets"]}
        assert {"name": "http", "number": 8080} in targets["deploy/web"]["ports"]
        assert any(one["name"] == "http" for one in targets["svc/web"]["ports"])
        assert any(name.startswith("pod/web-") for name in targets)
        assert (answer["context"], answer["namespace"], answer["left_out"]) == (
            "minicluster",
            "shop",
            0,
        )
        fewer = await call(connected, "list_targets", namespace="*", contains="ECHO")
        assert fewer["untrusted_targets"]
        assert all("echo" in one["target"] for one in fewer["untrusted_targets"])
        assert 'no context "nowhere"' in await fail(connected, "list_targets", context="nowhere")


async def test_status_names_contexts_hops_and_timeline(cluster: ClusterProcess) -> None:
    protect()
    async with client(cluster, allow_protected=True) as connected:
        started = await call(
            connected, "start_forward", target="deploy/echo", port="echo", namespace="shop"
        )
        answer = await call(connected, "status", forward=started["id"])
        assert answer["contexts"][0] == {
            "name": "minicluster", "current": True, "protected": True, "api_server": "ok",
        }  # fmt: skip
        assert answer["forwards_by_state"] == {"ready": 1}
        assert {one["state"] for one in answer["hops"]} == {"ok"}
        assert len(answer["hops"]) == 6
        assert answer["timeline"]


async def test_forward_that_cannot_start_is_not_left(cluster: ClusterProcess) -> None:
    async with client(cluster) as connected:
        text = await fail(
            connected, "start_forward", target="deploy/none", port=80, namespace="shop"
        )
        assert text.startswith("Error executing tool start_forward: ") or "target.not_found" in text
        assert "Hint: " in text
        assert await call(connected, "list_forwards") == {"forwards": []}
        for target, port in (("nothing/web", 80), ("svc/web", 0), ("svc/web", "a:b")):
            assert "usage.invalid" in await fail(
                connected, "start_forward", target=target, port=port
            )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", ["yes", "no", "decline", "cancel"])
async def test_protected_context_asks_the_user(
    cluster: ClusterProcess,
    mode: ConnectMode,
    answer: str,
) -> None:
    from mcp_types import ElicitResult

    protect()
    questions: list[str] = []

    async def ask(_: object, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.message)
        if answer in ("decline", "cancel"):
            return ElicitResult.model_validate({"action": answer})
        return ElicitResult(action="accept", content={"start": answer == "yes"})

    async with client(cluster, mode, elicitation_callback=ask) as connected:
        arguments = {"target": "deploy/echo", "port": "echo", "namespace": "shop"}
        if answer == "yes":
            assert (await call(connected, "start_forward", **arguments))["state"] == "ready"
        else:
            assert "nothing was started" in await fail(connected, "start_forward", **arguments)
            assert await call(connected, "list_forwards") == {"forwards": []}
    assert questions == ["Start a forward to shop/deploy/echo:echo in minicluster! (protected)?"]


@pytest.mark.parametrize("mode", MODES)
async def test_client_that_cannot_ask_starts_nothing_there(
    cluster: ClusterProcess, mode: ConnectMode
) -> None:
    protect()
    async with client(cluster, mode) as connected:
        text = await fail(
            connected, "start_forward", target="svc/web", port="http", namespace="shop"
        )
        assert "minicluster! is protected" in text
        assert "mcp --allow-protected" in text
        assert await call(connected, "list_forwards") == {"forwards": []}


async def test_no_tool_takes_a_kubeconfig_an_address_or_a_credential(
    cluster: ClusterProcess,
) -> None:
    async with client(cluster) as connected:
        tools = (await connected.list_tools()).tools
    names = {name for tool in tools for name in tool.input_schema["properties"]}
    assert names == {"target", "port", "context", "namespace", "local_port", "contains", "forward"}
    assert all(tool.output_schema and tool.description for tool in tools)
    reads = {one.name for one in tools if one.annotations and one.annotations.read_only_hint}
    assert reads == {"list_forwards", "list_targets", "status", "connections", "doctor"}


async def test_profiles_are_resources_by_name_only(cluster: ClusterProcess, tmp_path: Path) -> None:
    from mcp import MCPError

    folder = paths.profiles_dir()
    folder.mkdir(parents=True)
    text = "forwards:\n  web: {target: deploy/web, port: http}\n"
    (folder / "shop.yaml").write_text(text)
    secret = tmp_path / "secret.yaml"
    secret.write_text(text)
    async with client(cluster) as connected:
        [listed] = (await connected.read_resource("profiles://all")).contents
        assert [one["name"] for one in json.loads(listed.text)] == ["shop"]  # type: ignore[union-attr]
        [read] = (await connected.read_resource("profiles://shop")).contents
        assert read.text == text  # type: ignore[union-attr]
        for name in ("none", f"{secret}".replace("/", "%2F"), "..%2Fshop.yaml"):
            with pytest.raises(MCPError):
                await connected.read_resource(f"profiles://{name}")


async def test_program_serves_on_stdin_and_stdout(cluster: ClusterProcess, own_home: Path) -> None:
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "tui_forward", "mcp", "--kubeconfig", str(cluster.kubeconfig)],
        env={"HOME": str(own_home), "XDG_RUNTIME_DIR": str(own_home / "run")},
    )
    async with Client(server) as connected:
        started = await call(
            connected, "start_forward", target="svc/web", port="http", namespace="shop"
        )
        assert started["state"] == "ready"
        assert "untrusted_" in (connected.instructions or "")
