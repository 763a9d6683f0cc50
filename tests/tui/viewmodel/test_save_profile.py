"""What saving a profile leads to, while its name is typed."""

from __future__ import annotations

import msgspec
import pytest

from tui_forward.tui.viewmodel.save_profile import (
    ExistingProfile,
    SaveFacts,
    check_save,
    describe_left_out,
    describe_saved,
)

FACTS = SaveFacts(
    14, ("staging", "prod-eu!"), (), "~/profiles",
    {
        "shop": ExistingProfile(("api", "db", "web", "mq", "x")), "empty": ExistingProfile(),
        "bad": None, "one": ExistingProfile(("api",)),
        "both": ExistingProfile(("api",), has_proxy=True),
        "proxy": ExistingProfile(has_proxy=True),
    },
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine", "New file ~/profiles/mine.yaml"),
        (" mine ", "New file ~/profiles/mine.yaml"),
        ("shop", "Replaces 5 forwards in ~/profiles/shop.yaml: api, db, web, mq and 1 more. "
                 "Comments stay."),
        ("both", "Replaces 1 forward and the proxy in ~/profiles/both.yaml: api. Comments stay."),
        ("proxy", "Replaces the proxy in ~/profiles/proxy.yaml. Comments stay."),
        ("one", "Replaces 1 forward in ~/profiles/one.yaml: api. Comments stay."),
        ("empty", "Replaces ~/profiles/empty.yaml, which has no forwards"),
        ("größe 2", "New file ~/profiles/größe 2.yaml"),
        ("bad", "✗ ~/profiles/bad.yaml exists and is invalid: P, then e, edits it"),
        ("", "✗ a profile needs a name"),
        ("  ", "✗ a profile needs a name"),
        ("a/b", "✗ a name has no /: profiles are in one folder"),
        ("../x", "✗ a name has no /: profiles are in one folder"),
        (".x", "✗ a name does not begin with ."),
        ("-x", "✗ a name does not begin with -"),
        ("shop.yaml", "✗ leave out .yaml: it is added"),
        ("a\x1bb", "✗ a name has only printable characters"),
        ("x" * 61, "✗ a name has at most 60 characters"),
    ],
)  # fmt: skip
def test_name(name: str, text: str) -> None:
    check = check_save(name, FACTS)
    assert ("✗ " if check.is_problem else "") + check.text == text


def test_what_is_saved() -> None:
    assert describe_saved(FACTS) == "14 forwards of staging, prod-eu!"
    assert describe_saved(SaveFacts(1)) == "1 forward"
    assert describe_left_out(FACTS) == ""
    some = msgspec.structs.replace(FACTS, left_out=("the forward to x has --token", "y"))
    assert describe_left_out(some) == "Not saved: the forward to x has --token, and 1 more"
    assert check_save("mine", SaveFacts(0)).is_problem
    proxy = msgspec.structs.replace(FACTS, proxy="127.0.0.1:1080")
    text = "14 forwards and the cluster proxy 127.0.0.1:1080 of staging, prod-eu!"
    assert describe_saved(proxy) == text
    only = SaveFacts(0, ("here",), proxy="127.0.0.1:1080")
    assert describe_saved(only) == "the cluster proxy 127.0.0.1:1080 of here"
    assert not check_save("mine", only).is_problem
