from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tui_forward.daemon.profile_apply import apply_plan, check_ports, plan_profile, start_forward
from tui_forward.errors import ConfigError
from tui_forward.model import Context, ForwardState, LocalAddress, ProxySpec
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.plan import ApplyMode, make_plan, plan_edit
from tui_forward.profiles.profile import Profile

TEXT = """\
namespace: shop
context: here
forwards:
  api: {target: deploy/api, port: http, needs: db}
  db: {target: sts/db, port: 5432, local: 15432}
"""


def read(text: str = TEXT) -> Profile:
    return parse_profile(text, Path("shop.yaml"))


def ready(session: FakeSession, forward_id: str) -> None:
    session.change(forward_id, ForwardState.READY)


def started(session: FakeSession) -> list[str]:
    return [one.spec.name for one in session.forwards.values()]


async def test_dependency_is_ready_before_its_dependent_starts() -> None:
    session = FakeSession(ready)
    profile = read()
    result = await apply_plan(session, profile, make_plan(profile, ()), wait_s=5)
    assert started(session) == ["db", "api"]
    assert [one.spec.name for one in result.forwards] == ["api", "db"]
    assert not result.unready


async def test_forwards_not_ready_in_time_are_returned() -> None:
    session = FakeSession()
    profile = read()
    result = await apply_plan(session, profile, make_plan(profile, ()), wait_s=0.05)
    assert [one.spec.name for one in result.unready] == ["api", "db"]


async def test_blocked_forward_is_not_waited_for() -> None:
    session = FakeSession(lambda fake, one: fake.change(one, ForwardState.BLOCKED))
    profile = read()
    result = await apply_plan(session, profile, make_plan(profile, ()), wait_s=60)
    assert len(result.unready) == 2


async def test_same_plan_twice_starts_forwards_once() -> None:
    session = FakeSession(ready)
    profile = read()
    plan = make_plan(profile, ())
    await apply_plan(session, profile, plan, wait_s=None)
    await apply_plan(session, profile, plan, wait_s=None)
    assert sorted(started(session)) == ["api", "db"]
    # Stopping twice is not an error, either.
    stopping = make_plan(read("forwards: {}"), session.forwards.values())
    await apply_plan(session, profile, stopping, wait_s=None)
    await apply_plan(session, profile, stopping, wait_s=None)
    assert not session.forwards
    spec = msgspec.structs.replace(profile.forwards[0].spec, profile="", name="")
    assert await start_forward(session, spec) != await start_forward(session, spec)


async def test_port_in_use_by_another_forward_is_an_error() -> None:
    session = FakeSession(ready)
    other = read("name: other\nforwards: {pg: {target: svc/pg, port: 1}}")
    await apply_plan(session, other, make_plan(other, ()), wait_s=None)
    session.update("f1", listening=(LocalAddress("127.0.0.1", 15432),))
    forwards = tuple(session.forwards.values())
    plan = make_plan(read(), forwards)
    with pytest.raises(
        ConfigError, match=r"db of profile shop: local port .* in use by pg of profile other"
    ):
        check_ports(plan, forwards)
    # The port of a forward that stops is free.
    moved = read("name: other\nforwards: {new: {target: svc/pg, port: 1, local: 15432}}")
    check_ports(make_plan(moved, forwards), forwards)
    # The same if the forward belongs to another profile.
    with pytest.raises(ConfigError):
        await plan_profile(session, read(), ApplyMode.MERGE)
    replacing = await plan_profile(session, read(), ApplyMode.REPLACE)
    assert [one.spec.name for one in replacing.others] == ["pg"]
    await apply_plan(session, read(), replacing, wait_s=None)
    assert started(session) == ["db", "api"]


async def test_merge_waits_for_active_dependency_and_keeps_it() -> None:
    session = FakeSession(ready)
    old = read(
        TEXT.replace("15432", "25432").replace(
            "  api: {target: deploy/api, port: http, needs: db}\n", ""
        )
    )
    await apply_plan(session, old, make_plan(old, ()), wait_s=None)
    merging = await plan_profile(session, read(), ApplyMode.MERGE)
    result = await apply_plan(session, read(), merging, wait_s=5)
    assert [(one.id, one.spec.name) for one in result.forwards] == [("f2", "api"), ("f1", "db")]
    assert session.forwards["f1"].spec.local_port == 25432


@pytest.mark.parametrize(
    ("text", "current", "error"),
    [
        ("context: prod", True, 'cannot start web .*: the kubeconfig has no context "prod"'),
        (
            "description: x",
            False,
            "cannot start web .*: it names no context, and the kubeconfig has no current",
        ),
        (
            "context: prod\nnamespace: shop",
            False,
            "",
        ),  # starts, and reports that the context is missing
        ("context: here", False, ""),
    ],
)
async def test_impossible_plan_is_rejected_before_any_change(
    text: str, current: bool, error: str
) -> None:
    session = FakeSession(ready)
    session.context_list = (Context(name="here", cluster="here", current=current),)
    before = read("context: here\nforwards: {web: {target: svc/web, port: 1}}")
    await apply_plan(session, before, make_plan(before, ()), wait_s=None)
    after = read(f"{text}\nforwards: {{web: {{target: svc/web, port: 2}}}}")
    if error:
        with pytest.raises(ConfigError, match=error) as raised:
            await plan_profile(session, after)
        assert "here" in (raised.value.hint or "")
    else:
        assert (await plan_profile(session, after)).changed


async def test_edit_affects_only_changed_forwards() -> None:
    session = FakeSession(ready)
    profile = read()
    await apply_plan(session, profile, make_plan(profile, ()), wait_s=None)
    db = next(one for one in session.forwards.values() if one.spec.name == "db")
    await session.stop(db.id)
    on = tuple(session.forwards.values())
    assert not plan_edit(profile, read(f"# a comment\n{TEXT}"), on), (
        "a stopped forward is not started"
    )
    assert not plan_edit(profile, read(TEXT.replace("15432", "25432")), on)
    found = plan_edit(profile, read(TEXT.replace("port: http", "port: 80")), on)
    assert list(found.lines()) == ["~ api shop/deploy/api:http → shop/deploy/api:80"]
    without = plan_edit(profile, read("context: here\nnamespace: shop\nforwards: {}"), on)
    assert list(without.lines()) == ["- api shop/deploy/api:http"]


@pytest.mark.parametrize(
    ("listening", "addresses", "is_taken"),
    [
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.2", "localhost", False),
        ("127.0.0.2", "127.0.0.2", True),
        ("127.0.0.1", "localhost", True),
        ("::1", "localhost", True),
        ("127.0.0.2", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.2", True),
        ("0.0.0.0", '"::1"', False),
    ],
)
async def test_local_address_and_port_are_what_is_taken(
    listening: str, addresses: str, is_taken: bool
) -> None:
    session = FakeSession(ready)
    other = read("name: other\nforwards: {pg: {target: svc/pg, port: 1}}")
    await apply_plan(session, other, make_plan(other, ()), wait_s=None)
    session.update("f1", listening=(LocalAddress(listening, 5432),))
    forwards = tuple(session.forwards.values())
    new = f"forwards: {{db: {{target: svc/db, port: 1, local: 5432, address: {addresses}}}}}"
    plan = make_plan(read(new), forwards)
    if not is_taken:
        check_ports(plan, forwards)
        return
    with pytest.raises(ConfigError, match="local port 5432 is in use by pg"):
        check_ports(plan, forwards)


async def test_proxy_starts_once_and_stops_with_the_profile() -> None:
    session = FakeSession(ready)
    profile = read(f"{TEXT}proxy: 1080\n")
    plan = await plan_profile(session, profile, with_proxy=True)
    await apply_plan(session, profile, plan, wait_s=None)
    await apply_plan(session, profile, plan, wait_s=None)
    assert [one.spec for one in session.proxies.values()] == [profile.proxy]
    assert not await plan_profile(session, profile, with_proxy=True)
    without = read()
    stopping = await plan_profile(session, without, with_proxy=True)
    await apply_plan(session, without, stopping, wait_s=None)
    assert not session.proxies


async def test_replace_stops_proxies_of_others() -> None:
    session = FakeSession(ready)
    await session.start_proxy(ProxySpec(context="here"))
    await session.start_proxy(ProxySpec(context="here", port=1081, profile="other"))
    profile = read(f"{TEXT}proxy: 1080\n")  # whose port becomes free
    plan = await plan_profile(session, profile, ApplyMode.REPLACE, with_proxy=True)
    await apply_plan(session, profile, plan, wait_s=None)
    assert [one.spec for one in session.proxies.values()] == [profile.proxy]


async def test_ports_of_forwards_and_proxies_are_compared() -> None:
    session = FakeSession(ready)
    proxy = read("forwards: {}\nproxy: 15432\ncontext: here")
    await apply_plan(session, proxy, make_plan(proxy, (), proxies=()), wait_s=None)
    other = parse_profile(TEXT, Path("other.yaml"))
    with pytest.raises(ConfigError, match="15432 is in use by the cluster proxy p1"):
        await plan_profile(session, other)
    second = parse_profile("forwards: {}\nproxy: 15432\ncontext: here", Path("second.yaml"))
    with pytest.raises(ConfigError, match="the proxy of profile second: local port 15432"):
        await plan_profile(session, second, with_proxy=True)
    await session.stop_proxy("p1")
    forward_id = await session.start(other.forwards[1].spec)
    session.listen(forward_id, 15432)
    with pytest.raises(ConfigError, match="15432 is in use by db of profile other"):
        await plan_profile(session, second, with_proxy=True)
