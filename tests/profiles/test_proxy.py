"""The `proxy` key of a profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tui_forward.errors import UsageError
from tui_forward.model import (
    AccessOptions,
    Connection,
    ConnectionState,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ProxyInfo,
    ProxySpec,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.profiles.description import describe_forwards
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import ApplyMode, make_plan, plan_edit
from tui_forward.profiles.preview import PreviewFacts, make_preview, ports_to_check
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.proxy import split_saveable_proxies
from tui_forward.profiles.serializer import serialize_profile

FILE = Path("/work/shop.yaml")
FULL = ProxySpec(
    context="there", namespace="data", port=1090, direct=True, spread=False,
    auth_file="/work/secret", domain="corp.example", idle_timeout_s=120.0, queue_timeout_s=60.0,
    strip_suffix=True, half_close_timeout_s=1.0, transport=TransportChoice.WEBSOCKET,
    profile="shop", options=AccessOptions(impersonate_user="ann"),
)  # fmt: skip
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
        proxy: {port: 1090, context: there, namespace: data, direct: true, spread: false,
                auth_file: secret, domain: corp.example, idle_timeout: 2m, queue_timeout: 1m,
                strip_suffix: true, half_close_timeout: 1s, transport: websocket, access: {as: ann}}
    """
    assert read(PLAIN + text.replace("\n        ", "\n")).proxy == FULL


def test_access_is_inherited_as_by_forwards() -> None:
    top = f"{PLAIN}access: {{as: ann, user: bob}}\n"
    own, other = read(f"{top}proxy: 1080\n"), read(f"{top}proxy: {{context: there}}\n")
    assert own.proxy is not None
    assert own.proxy.options == AccessOptions(impersonate_user="ann", user="bob")
    assert other.proxy is not None
    assert other.proxy.options == AccessOptions(impersonate_user="ann")
    text = f"{PLAIN}proxy: {{access: {{server: 'https://x'}}}}\n"
    with pytest.raises(ProfileError, match="server decides who receives your credentials"):
        parse_profile(text, FILE, foreign="it is open to other users")


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
    specs = [one.spec for one in profile.forwards]
    after = serialize_profile(specs, FILE, text)
    assert read(after) == profile
    assert "proxy: 1080  # for tests" in after
    assert serialize_profile(specs, FILE, text, profile.proxy) == after


@pytest.mark.parametrize(
    "spec",
    [
        ProxySpec(context="here", namespace="shop"),
        ProxySpec(context="here", namespace="shop", port=0),
        ProxySpec(context="here", namespace="data", port=1090),
        ProxySpec(context="there", namespace="shop", options=AccessOptions(user="bob")),
        FULL,
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        "",
        WEB,
        f"{WEB}proxy: any\n",
        f"{WEB}proxy: {{port: 1, domain: b.c}}  # x\n",
        f"{WEB}access: {{as: ann}}\n",
    ],
)
def test_saved_proxy_is_read_back_equal(spec: ProxySpec, before: str) -> None:
    expected = replace(spec, profile="shop")
    forwards = read(WEB).forwards
    for specs in ([one.spec for one in forwards], []):
        text = serialize_profile(specs, FILE, before, spec)
        found = read(text)
        assert found.proxy == expected
        assert len(found.forwards) == len(specs)
        assert serialize_profile(specs, FILE, text, spec) == text
        assert read(serialize_profile(specs, FILE, text, None)).proxy is None


def test_saved_text_is_short_and_keeps_comments() -> None:
    specs = [one.spec for one in read(WEB).forwards]
    proxy = ProxySpec(context="here", namespace="shop", port=1090)
    assert "\nproxy: 1090\nforwards:" in serialize_profile(specs, FILE, "", proxy)
    only = serialize_profile([], FILE, "", proxy)
    assert only == "version: 1\ncontext: here\nnamespace: shop\nproxy: 1090\nforwards: {}\n"
    before = f"{WEB}proxy:\n  # of the office\n  domain: corp.example\n"
    other = replace(proxy, domain="b.example")
    text = serialize_profile(specs, FILE, before, other)
    assert "proxy:\n  # of the office\n  domain: b.example\n  port: 1090\n" in text


def test_proxy_with_a_secret_is_not_saved() -> None:
    secret = ProxySpec(context="here", options=AccessOptions(token="t0ken"))
    with pytest.raises(UsageError, match="the cluster proxy has --token, which is never saved"):
        serialize_profile([], FILE, "", secret)
    strange = ProxySpec(context="here", auth_file="/a\nb")
    here, there = (
        ProxyInfo(id=f"p{number}", spec=ProxySpec(context=context))
        for number, context in enumerate(("here", "there"), 1)
    )
    forward = ForwardSpec(
        target=Target(context="there", namespace="", kind=TargetKind.POD, name="a", port="80")
    )
    saved, others = split_saveable_proxies(
        [ProxyInfo(id="p3", spec=secret), here, there, ProxyInfo(id="p4", spec=strange)], [forward]
    )
    assert saved == there
    assert [(one.id, why) for one, why in others] == [
        ("p3", "has --token, which is never saved"),
        ("p1", "is one too many: a profile has one"),
        ("p4", "has a password file with unprintable characters in its path"),
    ]
    assert split_saveable_proxies([here, there], [])[0] == here


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
    any_port = ProxyInfo(
        id="p1", spec=replace(spec, port=0), listening=(LocalAddress("::1", 1080),)
    )
    assert not make_plan(profile, (), proxies=[any_port]), "it has the port of the profile"
    without = read(PLAIN)
    assert not plan_edit(without, profile, (), [any_port]), "it was saved to the profile"


def test_replace_stops_all_others() -> None:
    profile = read(f"{PLAIN}proxy: 1081\n")
    own = running(profile)
    of_other = ProxyInfo(id="p2", spec=replace(own.spec, profile="other", port=1082))
    of_none = ProxyInfo(
        id="p3", spec=ProxySpec(context="there", port=0), listening=(LocalAddress("::1", 1083),)
    )
    proxies = [own, of_other, of_none]
    for mode in (ApplyMode.APPLY, ApplyMode.MERGE):
        assert not make_plan(profile, (), mode, proxies)
    plan = make_plan(profile, (), ApplyMode.REPLACE, proxies)
    assert plan.proxies_to_stop == (of_other, of_none)
    assert list(plan.lines()) == [
        "- cluster proxy p2 of profile other",
        "- cluster proxy p3 of there",
    ]
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="a", port="80")
    through = Forward(
        id="f1",
        spec=ForwardSpec(target=target, proxy="p3"),
        state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY,
        reason="",
    )
    connection = Connection(id=1, forward_id="f1", client="x", state=ConnectionState.OPEN)
    preview = make_preview(profile, plan, [through], PreviewFacts(connections=[connection]))
    assert [(one.mark, one.context, one.local, one.effect_text) for one in preview.lines] == [
        ("-", "here", ":1082", "stops; of profile other"),
        ("-", "there", ":1083", "stops; not in the profile"),
    ]
    assert preview.closing == 1
    moved = read(f"{PLAIN}proxy: 1083\nname: shop\n")
    assert make_plan(moved, (), ApplyMode.REPLACE, proxies).new_proxy_port == 0, "it becomes free"
    assert make_plan(moved, (), ApplyMode.APPLY, proxies).new_proxy_port == 1083


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
