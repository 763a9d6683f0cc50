from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.common.yaml_bombs import BOMBS, MAX_CPU_S, SLOW
from tui_forward.model import Balance, ForwardSpec, Target, TargetKind, TransportChoice
from tui_forward.profiles.parser import MAX_FILE_BYTES, ProfileError, load_roundtrip, parse_profile
from tui_forward.profiles.profile import Profile

FILE = Path("shop.yaml")
SHOP = """\
# what the shop's developers need
version: 1
description: the shop
context: prod-eu
namespace: shop
forwards:
  api:
    target: deploy/api
    port: http
    needs: [db, cache]
  db:
    namespace: data
    target: sts/db
    port: 5432
    local: 15432
    label: data
  cache:
    selector: app=cache
    port: "16379:6379"
    address: [127.0.0.1, "::1"]
    env: REDIS
    balance: spread
  one:
    target: pod/web-1
    port: 8080
    local: any
    pin: true
    transport: websocket
    queue_timeout: 500ms
    half_close_timeout: 0
    preconnect: 2
    needs: api
"""


def read(text: str) -> Profile:
    return parse_profile(text, FILE)


def problems(text: str) -> list[str]:
    with pytest.raises(ProfileError) as raised:
        read(text)
    return [str(one).removeprefix("shop.yaml:") for one in raised.value.problems]


def test_all_keys() -> None:
    profile = read(SHOP)
    assert (profile.name, profile.id, profile.description) == ("shop", "shop", "the shop")
    api, db, cache, one = profile.forwards
    assert api.spec == ForwardSpec(
        target=Target(
            context="prod-eu", namespace="shop", kind=TargetKind.DEPLOYMENT, name="api",
            port="http",
        ),
        name="api",
        profile="shop",
    )  # fmt: skip
    assert (api.env, api.needs) == ("API", ("db", "cache"))
    assert (str(db.spec.target), db.spec.local_port) == ("data/sts/db:5432", 15432)
    assert db.spec.label == "data"
    assert str(cache.spec.target) == "shop/-l app=cache:6379"
    assert cache.spec.local_port == 16379
    assert cache.spec.addresses == ("127.0.0.1", "::1")
    assert cache.env == "REDIS"
    assert (cache.spec.target.balance, one.spec.target.balance) == (Balance.SPREAD, Balance.ONE)
    assert one.spec.target.pin
    assert (one.spec.local_port, one.spec.transport) == (0, TransportChoice.WEBSOCKET)
    assert (one.spec.queue_timeout_s, one.spec.half_close_timeout_s) == (0.5, 0.0)
    assert (one.spec.preconnect, api.spec.preconnect) == (2, 0)
    assert [forward.name for forward in profile.in_order()] == ["db", "cache", "api", "one"]


def test_forwards_inherit_what_the_profile_opens_ahead() -> None:
    profile = read(
        "preconnect: 4\npreconnect_age: 20s\nforwards:\n"
        "  web: {target: svc/web, port: 80}\n"
        "  db: {target: svc/db, port: 1, preconnect: 0}\n"
        "  api: {target: svc/api, port: 2, preconnect_age: 2}\n"
    )
    found = [(one.spec.preconnect, one.spec.preconnect_age_s) for one in profile.forwards]
    assert found == [(4, 20.0), (0, 20.0), (4, 2.0)]


def test_names() -> None:
    assert read("name: web\nforwards:").name == "web"
    team = parse_profile("forwards:", Path("/work/my shop/.tui-forward.yaml"), team=True)
    assert (team.name, team.id) == ("my-shop", "/work/my shop/.tui-forward.yaml")
    assert read("forwards: {my-db.2: {target: svc/db, port: 1}}").forwards[0].env == "MY_DB_2"
    assert read("forwards: {2nd: {target: svc/db, port: 1}}").forwards[0].env == "_2ND"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "1:5: this is not YAML: mapping values are not allowed here"),
        ("x: 1\nx: 2", '2:1: found duplicate key "x" with value "2" (original value: "1")'),
        ("[1]", "1:1: a profile is a mapping"),
        (
            "forwards:\n  a: {target: pod/web-1, port: 80, balance: spread}",
            "2:3: a cannot be spread over one pod",
        ),
        (
            "forwards:\n  a: {target: svc/web, port: 80, balance: random}",
            '2:43: balance: "random" is not a way to balance connections',
        ),
        ("", "1:1: `forwards:` is missing"),
        ("name: cut", "1:1: `forwards:` is missing"),
        ("version: 2", "1:10: the file has version 2; this tui-forward supports up to 1"),
        ("version: one", "1:10: version 'one' is unknown"),
        ("version: true", "1:10: version True is unknown"),
        ("forward: {}", "1:1: unknown key `forward`"),
        ("forwards: [a]", "1:11: forwards must be a mapping of names"),
        ("forwards:\n  a b: {}", "2:3: `a b` is not a valid name"),
        ("forwards:\n  1: {}", "2:3: `1` is not a valid name"),
        ("forwards:\n  a: svc/web", "2:6: a must be a mapping"),
        ("forwards:\n  a:\n    port: 1", "2:3: a has no target"),
        ("forwards:\n  a:\n    target: svc/x", "2:3: a has no port"),
        ("forwards:\n  a: {target: svc/x, selector: a=b, port: 1}", "2:3: a has both a target"),
        ("forwards:\n  a: {target: cm/x, port: 1}", '2:15: target: cannot forward to "cm/x"'),
        ("forwards:\n  a: {target: 5, port: 1}", "2:15: target: must be a string"),
        ("forwards:\n  a: {target: svc/x, port: 99999}", "2:28: port: "),
        ("forwards:\n  a: {target: svc/x, port: [1]}", "2:28: port: must be a number or a name"),
        ("forwards:\n  a: {target: svc/x, port: '1:2', local: 3}", "2:3: a has two local ports"),
        ("forwards:\n  a: {target: svc/x, port: 1, local: 70000}", "2:38: local: must be a port"),
        (
            "forwards:\n  a: {target: svc/x, port: 1, pin: true}",
            "2:3: a can only be pinned",
        ),
        ("forwards:\n  a: {target: svc/x, port: 1, pin: 1}", "2:36: pin: must be true or false"),
        (
            "forwards:\n  a: {target: svc/x, port: 1, queue_timeout: soon}",
            '2:46: queue_timeout: "soon" is not a',
        ),
        ("forwards:\n  a: {target: svc/x, port: 1, address: here}", '2:40: address: "here" is'),
        (
            "forwards:\n  a: {target: svc/x, port: 1, needs: b}",
            "2:3: a needs `b`, which does",
        ),
        ("forwards:\n  a: {target: svc/x, port: 1, needs: a}", "2:3: a needs itself: a → a"),
        ("namespace: My Shop", '1:12: namespace: "My Shop" is not a valid namespace name'),
        ("name: 'a\\tb'", '1:7: name: "a\\tb" is not a valid name'),
        ('description: "a\\eb"', "1:14: description: is empty or has unprintable characters"),
        (
            "forwards:\n  a: {target: svc/x, port: 1, env: a-b}",
            '2:36: env: "a-b" is not a valid',
        ),
        ("a: !!python/object/apply:os.system [ls]", "1:1: unknown key `a`"),
        ("\x00", "1:1: this is not YAML"),
        ("{a: " * 5_000, "1:401: nested deeper than 100 levels"),
    ],
)
def test_problem_has_its_position(text: str, expected: str) -> None:
    first = problems(text)[0]
    assert first.startswith(expected)
    assert first.isprintable()


def test_all_problems_are_reported_in_order() -> None:
    text = """\
nmespace: shop
forwards:
  db: {target: svc/db, port: 5432, local: 5432}
  other: {target: svc/other, port: 1, local: 5432, env: DB}
  a: {target: svc/a, port: 1, needs: b}
  b: {target: svc/b, port: 1, needs: [a, zz]}
"""
    assert problems(text) == [
        "1:1: unknown key `nmespace`",
        "4:3: other and db have the same local port 5432",
        "4:3: other and db would both be DB_PORT in the environment",
        "5:3: a needs itself: a → b → a",
        "6:3: b needs `zz`, which does not exist",
    ]
    with pytest.raises(ProfileError, match=r"\(and 4 more\)") as raised:
        read(text)
    assert raised.value.hint == "did you mean `namespace`?"


def test_recursive_aliases_are_harmless() -> None:
    layers = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert problems(f"a0: &a0 [x]\n{layers}")
    assert problems("forwards: &f\n  a: {target: *f, port: 1}")


@given(st.text(max_size=200))
def test_any_text_is_a_profile_or_an_error_with_a_position(text: str) -> None:
    for prefix in ("", "forwards:\n  a:\n    "):
        try:
            read(prefix + text)
        except ProfileError as error:
            assert all(one.line >= 1 and one.column >= 1 for one in error.problems)  # noqa: PT017


def test_damaged_profiles() -> None:
    dice = random.Random(4)
    whole = {forward.name: forward for forward in read(SHOP).forwards}
    understood = 0
    for _ in range(300):
        text = list(SHOP)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(text))
            kind = dice.randrange(4)
            if kind == 0:
                del text[place : place + dice.randint(1, 20)]
            elif kind == 1:
                text.insert(place, dice.choice(" :-#{}[]\"'&*!|>%@\t\n0a"))
            elif kind == 2:
                text[place] = dice.choice(SHOP)
            else:
                text = text[: max(1, place)]
        try:
            profile = read("".join(text))
        except ProfileError as error:
            assert all(one.line <= max(1, len(text)) for one in error.problems)  # noqa: PT017
        else:
            understood += 1
            for forward in profile.forwards:
                # Never something else under the name of one: damage shows, or is what it says.
                assert forward.spec.target.name
                assert forward.name in "".join(text)
    assert 12 < understood < 285
    assert whole


def test_comments_and_order_survive_an_edit() -> None:
    from io import StringIO

    from ruamel.yaml import YAML

    found = load_roundtrip(SHOP, FILE)
    found["forwards"]["db"]["local"] = 25432
    out = StringIO()
    YAML(typ="rt").dump(found, out)
    assert out.getvalue().startswith("# what the shop's developers need\nversion: 1\n")
    assert "local: 25432" in out.getvalue()
    assert [one.name for one in read(out.getvalue()).forwards] == ["api", "db", "cache", "one"]


def test_too_many_forwards() -> None:
    many = "".join(f"  f{n}: {{target: svc/x, port: 1}}\n" for n in range(501))
    assert problems(f"forwards:\n{many}")[0].endswith("501 forwards exceed the limit of 500")
    assert len(many) < MAX_FILE_BYTES


@pytest.mark.parametrize(("text", "problem"), BOMBS.values(), ids=list(BOMBS))
def test_bombs_are_refused_with_their_position(text: str, problem: str) -> None:
    started = time.process_time()
    with pytest.raises(ProfileError) as caught:
        parse_profile(text[:MAX_FILE_BYTES], FILE)
    found = caught.value.problems[0]
    assert problem in found.message
    assert found.hint
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize("text", SLOW.values(), ids=list(SLOW))
def test_profiles_are_read_in_bounded_time(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ProfileError):
        parse_profile(text[:MAX_FILE_BYTES], FILE)
    assert time.process_time() - started < MAX_CPU_S
