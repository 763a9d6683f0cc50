"""The `proxy` key of a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_forward.model import LocalAddress, ProxyInfo, ProxySpec
from tui_forward.profiles.description import describe_forwards
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import ApplyMode, make_plan, plan_edit
from tui_forward.profiles.preview import PreviewFacts, make_preview, ports_to_check
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.serializer import serialize_profile

FILE = Path("/work/shop.yaml")
PLAIN = "context: here\nnamespace: shop\nforwards: {}\n"
WEB = "context: here\nnamespace: shop\nforwards: {web: {target: svc/web, port: 80, local: 8080}}\n"


def read(text: str) -> Profile:
    return parse_profile(text, FILE)


def running(profile: Profile) -> ProxyInfo:
    assert profile.proxy is not None
    port = profile.proxy.port or 50000
    return ProxyInfo(id="p1", spec=profile.proxy, listening=(LocalAddress("127.0.0.1", port),))


def test_proxy_is_a_port_or_a_mapping() -> None:
    assert read(PLAIN).proxy is None
    usual = ProxySpec(context="here", namespace="shop", profile="shop")
    assert read(f"{PLAIN}proxy: 1080\n").proxy == usual
    assert read(f"{PLAIN}proxy: {{}}\n").proxy == usual
    found = read(f"{PLAIN}proxy: any\n").proxy
    assert found is not None
    assert found.port == 0
    text = """
        proxy: {port: 1090, namespace: data, direct: true, spread: false, auth_file: secret,
                domain: corp.example, idle_timeout: 2m}
    """
    assert read(PLAIN + text.replace("\n        ", "\n")).proxy == ProxySpec(
        context="here", namespace="data", port=1090, direct=True, spread=False,
        auth_file="/work/secret", domain="corp.example", idle_timeout_s=120.0, profile="shop",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("proxy: web", (4, 8), "proxy: must be a port from 1 to 65535, or any"),
        ("proxy: true", (4, 8), "proxy: must be a port from 1 to 65535, or any"),
        ("proxy: [1]", (4, 8), "proxy: must be a port from 1 to 65535, or any"),
        ("proxy: {prt: 1}", (4, 9), "unknown key `prt`"),
        ("proxy: {direct: 1}", (4, 17), "direct: must be true or false"),
        ("proxy: {domain: 'a..b'}", (4, 17), 'domain: "a..b" is not a valid domain'),
        ("proxy: {namespace: Shop}", (4, 20), 'namespace: "Shop" is not a valid namespace name'),
    ],
)
def test_problems_have_positions(line: str, position: tuple[int, int], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read(f"{PLAIN}{line}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.message) == (*position, message)


def test_local_port_of_a_forward_is_a_conflict() -> None:
    with pytest.raises(ProfileError, match="web and the proxy have the same local port 8080"):
        read(f"{WEB}proxy: 8080\n")
    apart = WEB.replace("local: 8080", "local: 8080, address: 127.0.0.2")
    assert read(f"{apart}proxy: 8080\n").proxy is not None


def test_serializer_keeps_it() -> None:
    text = f"{WEB}proxy: 1080  # for tests\n"
    profile = read(text)
    after = serialize_profile([one.spec for one in profile.forwards], FILE, text)
    assert read(after) == profile
    assert "proxy: 1080  # for tests" in after


def test_description_has_all_of_it() -> None:
    lines = describe_forwards(read(f"{PLAIN}proxy: {{direct: true, auth_file: /x}}\n"))
    assert lines == [
        "proxy: every service and pod in context here, namespace shop",
        "  port 1080; also connects to names outside the cluster; "
        "reads the password of its clients from /x",
    ]


def test_plan_starts_changes_and_stops_it() -> None:
    profile = read(f"{PLAIN}proxy: 1080\n")
    added = make_plan(profile, (), proxies=())
    assert list(added.lines()) == ["+ cluster proxy port 1080"]
    assert added.proxy == profile.proxy
    active = running(profile)
    assert not make_plan(profile, (), proxies=[active])
    moved = read(f"{PLAIN}proxy: 1081\n")
    changed = make_plan(moved, (), proxies=[active])
    assert (changed.proxy, changed.stopped_proxy) == (moved.proxy, active)
    assert list(changed.lines()) == ["~ cluster proxy local port 1080 → 1081"]
    assert not make_plan(moved, (), ApplyMode.MERGE, [active])
    removed = make_plan(read(PLAIN), (), proxies=[active])
    assert list(removed.lines()) == ["- cluster proxy"]
    assert not make_plan(moved, ()), "proxies that are not known are left as they are"


def test_equal_proxy_of_no_profile_belongs_to_it() -> None:
    profile = read(f"{PLAIN}proxy: 1080\n")
    spec = ProxySpec(context="here", namespace="shop")
    assert not make_plan(profile, (), proxies=[ProxyInfo(id="p1", spec=spec)])
    other = ProxySpec(context="here", namespace="shop", profile="other")
    assert make_plan(profile, (), proxies=[ProxyInfo(id="p1", spec=other)]).proxy


def test_edit_touches_it_only_if_it_is_about_it() -> None:
    without, before, after = (
        read(PLAIN),
        read(f"{PLAIN}proxy: 1080\n"),
        read(f"{PLAIN}proxy: any\n"),
    )
    moved = read(f"{PLAIN}proxy: 1081\n")
    active = running(before)
    assert plan_edit(without, before, (), ()).proxy == before.proxy
    assert plan_edit(before, moved, (), [active]).stopped_proxy == active
    assert not plan_edit(before, after, (), [active]), "any port is the one that it has"
    assert not plan_edit(before, before, (), ()), "it was stopped by the user"
    assert not plan_edit(before, moved, (), ())
    assert plan_edit(before, without, (), [active]).stopped_proxy == active


def test_preview_has_a_line() -> None:
    profile = read(f"{PLAIN}proxy: 1080\n")
    plan = make_plan(profile, (), proxies=())
    (line,) = make_preview(profile, plan, (), PreviewFacts()).lines
    assert (line.mark, line.context, line.namespace) == ("+", "here", "shop")
    assert (line.target, line.local, line.effect_text) == ("cluster proxy", ":1080", "starts")
    assert ports_to_check([plan]) == {(("localhost",), 1080)}
