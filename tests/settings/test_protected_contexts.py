from __future__ import annotations

import pytest

from tui_forward.model import AccessOptions, Context, Target, TargetKind
from tui_forward.settings.protected_contexts import (
    ProtectedContexts,
    marked,
    production_contexts,
    split_marks,
)

PROD = Context(name="prod-eu", cluster="c1", server="api.eu.example.com", current=True)
LIVE = Context(name="arn:aws:eks:1:cluster/shop", cluster="live-1", server="10.0.0.1")
STAGING = Context(name="staging", cluster="staging", server="api.prod.example.com")
DEV = Context(name="dev", cluster="dev", server="127.0.0.1")
ALL = (PROD, LIVE, STAGING, DEV)


@pytest.mark.parametrize(
    ("patterns", "protected"),
    [
        ((), []),
        (("prod*",), ["prod-eu"]),
        (("PROD*",), ["prod-eu"]),
        (("prod",), []),
        (("live-?",), ["arn:aws:eks:1:cluster/shop"]),
        (("*.prod.example.com",), ["staging"]),
        (("10.0.0.1", "dev"), ["arn:aws:eks:1:cluster/shop", "dev"]),
        (("*",), [one.name for one in ALL]),
        (("[",), []),
        (("[!d]*",), ["prod-eu", "arn:aws:eks:1:cluster/shop", "staging", "dev"]),
    ],
)
def test_contexts_are_matched_by_name_cluster_and_host(
    patterns: tuple[str, ...], protected: list[str]
) -> None:
    contexts = ProtectedContexts(patterns, ALL)
    assert [one.name for one in ALL if contexts.is_protected(one.name)] == protected
    assert bool(contexts) is bool(patterns)


def test_the_current_context_and_one_that_is_gone() -> None:
    contexts = ProtectedContexts(("prod*",), ALL)
    assert contexts.is_protected("")
    assert contexts.is_protected("prod-old")
    assert not contexts.is_protected("gone")
    assert not ProtectedContexts(("prod*",)).is_protected("")


def test_options_lead_to_another_cluster() -> None:
    contexts = ProtectedContexts(("prod*", "*.prod.example.com"), ALL)
    assert contexts.is_protected("dev", AccessOptions(cluster="prod-us"))
    assert contexts.is_protected("dev", AccessOptions(cluster="staging"))  # by its host
    assert not contexts.is_protected("dev", AccessOptions(cluster="dev"))
    assert contexts.is_protected("dev", AccessOptions(server="https://api.prod.example.com:6443"))
    assert not contexts.is_protected("dev", AccessOptions(server="https://[", cluster="x"))


def test_names_of_targets() -> None:
    def target(context: str) -> Target:
        return Target(context=context, namespace="a", kind=TargetKind.POD, name="b", port="80")

    contexts = ProtectedContexts(("prod*",), ALL)
    targets = [target("dev"), target(""), target("prod-us"), target("prod-eu")]
    assert contexts.shown_names_of(targets) == ("prod-eu!", "prod-us!")
    assert contexts.shown_names_of([target("dev")]) == ()


def test_protected_names_are_marked() -> None:
    assert marked("prod-eu", is_protected=True) == "prod-eu!"
    assert marked("dev", is_protected=False) == "dev"
    for protected in (False, True):
        for insecure in (False, True):
            shown = marked("a! b", is_protected=protected, is_insecure=insecure)
            marks = ("!" if protected else "") + (" insecure" if insecure else "")
            assert split_marks(shown) == (("a! b", marks))


INSECURE = Context(name="lab", cluster="lab", server="10.0.0.2", insecure=True)


@pytest.mark.parametrize(
    ("context", "options", "insecure"),
    [
        ("lab", AccessOptions(), True), ("dev", AccessOptions(), False),
        ("", AccessOptions(), False), ("gone", AccessOptions(), False),
        ("dev", AccessOptions(insecure=True), True),
        ("dev", AccessOptions(cluster="lab"), True), ("lab", AccessOptions(cluster="dev"), False),
        ("lab", AccessOptions(server="https://x"), False),
        ("lab", AccessOptions(server="https://x", insecure=True), True),
        ("lab", AccessOptions(certificate_authority="/ca.crt"), True),
    ],
)  # fmt: skip
def test_insecure_contexts_are_marked(context: str, options: AccessOptions, insecure: bool) -> None:
    contexts = ProtectedContexts((), (*ALL, INSECURE))
    assert contexts.is_insecure(context, options) is insecure
    assert contexts.shown_name(context, options) == context + (" insecure" if insecure else "")


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("prod", True), ("prod-eu", True), ("eu-prod", True), ("gke_acme_europe-west1_prod", True),
        ("arn:aws:eks:eu-west-1:1:cluster/Production", True), ("prd1", True), ("shop.live", True),
        ("product-dev", False), ("reproduce", False), ("alive", False), ("delivery", False),
        ("staging", False), ("preprod", False), ("liverpool", False), ("", False),
    ],
)  # fmt: skip
def test_contexts_that_look_like_production(name: str, looks: bool) -> None:
    assert production_contexts([Context(name=name, cluster="x")]) == ((name,) if looks else ())
    assert production_contexts([Context(name="x", cluster=name)]) == (("x",) if looks else ())
