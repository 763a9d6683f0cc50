from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.profiles.parser import ProfileError, read_profile
from tui_forward.profiles.plan import adopted, as_it_is, plan
from tui_forward.profiles.serializer import profile_text

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
        reason="because",
        listening=(LocalAddress("127.0.0.1", local),) if local else (),
    )


def test_what_is_on_is_what_the_profile_switches_on() -> None:
    forwards = [
        on("web", "http", 8080),
        on("web", "metrics", 9090),
        on("db", "5432", 15432, namespace="data", kind=TargetKind.STATEFULSET, label="data"),
        on("app=cache", "6379", kind=TargetKind.SELECTOR, addresses=("127.0.0.1", "::1"),
           transport=TransportChoice.WEBSOCKET, park_s=1.5, linger_s=0.0),
    ]  # fmt: skip
    text = profile_text(map(as_it_is, forwards), FILE)
    assert text.startswith("version: 1\ncontext: here\nforwards:\n")
    profile = read_profile(text, FILE)
    assert [one.name for one in profile.forwards] == ["web", "web-metrics", "db", "app-cache"]
    # They belong to it now, without being begun anew.
    assert not plan(profile, forwards)
    assert list(adopted(profile, forwards).values()) == forwards
    assert len(plan(profile, ()).added) == 4


def test_comments_order_and_what_a_forward_does_not_know_survive() -> None:
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
    text = profile_text(map(as_it_is, forwards), FILE, before)
    assert text.index("# the shop") < text.index("# the database") < text.index("first things")
    profile = read_profile(text, FILE)
    assert [one.name for one in profile.forwards] == ["db", "vpn", "new"]
    db = profile.forwards[0]
    assert (db.spec.local_port, db.env, db.needs) == (25432, "PG", ("vpn",))
    assert "old" not in text
    assert "namespace: shop   # ours" in text
    again = profile_text(map(as_it_is, forwards), FILE, text)
    assert again == text


def test_what_cannot_be_understood_is_not_written_over() -> None:
    with pytest.raises(ProfileError):
        profile_text([on("web").spec], FILE, "a: b: c")


def test_one_forward_is_adopted_once() -> None:
    text = "context: here\nnamespace: shop\nforwards:\n" + "".join(
        f"  {name}: {{target: deploy/web, port: 80}}\n" for name in ("a", "b")
    )
    profile = read_profile(text, FILE)
    assert list(adopted(profile, [on("web", local=8080)])) == ["a"]
    others = [on("web", local=8080, profile="other", name="a")]
    assert not adopted(profile, others)
