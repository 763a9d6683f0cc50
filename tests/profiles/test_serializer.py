from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tui_forward.model import (
    Balance,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import find_adoptable, make_plan, spec_with_bound_port
from tui_forward.profiles.serializer import serialize_profile

FILE = Path("shop.yaml")


def on(what: str, port: str = "80", local: int = 0, **more: object) -> Forward:
    kind = more.pop("kind", TargetKind.DEPLOYMENT)
    namespace = str(more.pop("namespace", "shop"))
    target = Target(
        context="here", namespace=namespace, kind=TargetKind(str(kind)), name=what, port=port
    )
    return Forward(
        id=f"{what}:{port}",
        spec=msgspec.structs.replace(ForwardSpec(target=target), **more),
        state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY,
        reason="because",
        listening=(LocalAddress("127.0.0.1", local),) if local else (),
    )


def test_serialized_forwards_equal_the_parsed_profile() -> None:
    forwards = [
        on("web", "http", 8080),
        on("web", "metrics", 9090),
        on("db", "5432", 15432, namespace="data", kind=TargetKind.STATEFULSET, label="data"),
        on("app=cache", "6379", kind=TargetKind.SELECTOR, addresses=("127.0.0.1", "::1"),
           transport=TransportChoice.WEBSOCKET, queue_timeout_s=1.5, half_close_timeout_s=0.0,
           preconnect=3),
    ]  # fmt: skip
    text = serialize_profile(map(spec_with_bound_port, forwards), FILE)
    assert text.startswith("version: 1\ncontext: here\nforwards:\n")
    profile = parse_profile(text, FILE)
    assert [one.name for one in profile.forwards] == ["web", "web-metrics", "db", "app-cache"]
    # They belong to it now, without a restart.
    assert not make_plan(profile, forwards)
    assert list(find_adoptable(profile, forwards).values()) == forwards
    assert len(make_plan(profile, ()).added) == 4


def test_balance_is_kept_and_compared() -> None:
    spread = on("web", "http", 8080)
    target = msgspec.structs.replace(spread.spec.target, balance=Balance.SPREAD)
    spread = msgspec.structs.replace(
        spread, spec=msgspec.structs.replace(spread.spec, target=target)
    )
    text = serialize_profile([spec_with_bound_port(spread)], FILE)
    assert "balance: spread" in text
    profile = parse_profile(text, FILE)
    assert not make_plan(profile, [spread])
    (adopted,) = find_adoptable(profile, [spread]).values()
    assert adopted == spread


def test_comments_order_and_profile_only_keys_survive() -> None:
    before = """\
# the shop, see the wiki
version: 1
namespace: shop   # ours
forwards:
  # the database
  db:
    target: sts/db
    port: 5432
    needs: vpn   # first things first
    env: PG
  vpn: {target: svc/vpn, port: 1}
  old: {target: svc/old, port: 1}
"""
    forwards = [
        on("new", local=8080),
        on("db", "5432", 25432, kind=TargetKind.STATEFULSET, name="db"),
        on("vpn", "1", kind=TargetKind.SERVICE),
    ]
    text = serialize_profile(map(spec_with_bound_port, forwards), FILE, before)
    assert text.index("# the shop") < text.index("# the database") < text.index("first things")
    profile = parse_profile(text, FILE)
    assert [one.name for one in profile.forwards] == ["db", "vpn", "new"]
    db = profile.forwards[0]
    assert (db.spec.local_port, db.env, db.needs) == (25432, "PG", ("vpn",))
    assert "old" not in text
    assert "namespace: shop   # ours" in text
    again = serialize_profile(map(spec_with_bound_port, forwards), FILE, text)
    assert again == text


def test_values_of_the_profile_are_not_repeated() -> None:
    before = "preconnect: 4\npreconnect_age: 20s\nlabel: shop\nforwards:\n"
    forwards = [
        on("web", preconnect=4, preconnect_age_s=20.0, label="shop"),
        on("db", preconnect=0, preconnect_age_s=5.0, label="data"),
    ]
    text = serialize_profile(map(spec_with_bound_port, forwards), FILE, before)
    assert text.count("preconnect: ") == text.count("preconnect_age: ") == 2
    assert "preconnect: 0" in text
    profile = parse_profile(text, FILE)
    assert not make_plan(profile, forwards)
    assert [one.spec.label for one in profile.forwards] == ["shop", "data"]


def test_invalid_content_is_not_overwritten() -> None:
    with pytest.raises(ProfileError):
        serialize_profile([on("web").spec], FILE, "a: b: c")


def test_forward_is_adopted_once() -> None:
    text = "context: here\nnamespace: shop\nforwards:\n" + "".join(
        f"  {name}: {{target: deploy/web, port: 80}}\n" for name in ("a", "b")
    )
    profile = parse_profile(text, FILE)
    assert list(find_adoptable(profile, [on("web", local=8080)])) == ["a"]
    others = [on("web", local=8080, profile="other", name="a")]
    assert not find_adoptable(profile, others)
