from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tui_forward.model import Forward, ForwardSpec, ForwardState, ReasonCode
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.plan import ApplyMode, make_plan
from tui_forward.profiles.profile import Profile

TEXT = """\
namespace: shop
forwards:
  api: {target: deploy/api, port: http, needs: db}
  db: {target: sts/db, port: 5432, local: 15432}
"""


def read(text: str) -> Profile:
    return parse_profile(text, Path("shop.yaml"))


def on(profile: Profile, **more: object) -> list[Forward]:
    """As an engine has them: with the context and the port that were found."""
    forwards = []
    for number, one in enumerate(profile.forwards):
        target = msgspec.structs.replace(one.spec.target, context="here")
        spec = msgspec.structs.replace(one.spec, target=target, **more)
        forwards.append(
            Forward(
                id=f"f{number}",
                spec=spec,
                state=ForwardState.READY,
                code=ReasonCode.FORWARD_READY,
                reason="because",
            )
        )
    return forwards


def test_applied_plan_leaves_no_changes() -> None:
    profile = read(TEXT)
    again = make_plan(profile, on(profile))
    assert not again
    assert len(again.same) == 2
    # After a crash it was brought back on the port it had.
    assert not make_plan(read(TEXT.replace(", local: 15432", "")), on(profile, local_port=15432))


def test_only_differences_are_planned() -> None:
    forwards = on(read(TEXT))
    changed = TEXT.replace("15432", "25432").replace(
        "  api:", "  new: {target: svc/n, port: 1}\n  x:"
    )
    found = make_plan(read(changed.replace("needs: db", "label: front")), forwards)
    assert list(found.lines()) == [
        "+ new shop/svc/n:1",
        "+ x shop/deploy/api:http",
        "~ db local port 15432 → 25432",
        "- api shop/deploy/api:http",
    ]
    assert found.same == ()


def test_added_forwards_are_in_dependency_order() -> None:
    assert [one.name for one in make_plan(read(TEXT), []).added] == ["db", "api"]


def test_other_forwards_stay_unchanged() -> None:
    others = [
        *on(read(f"name: other\n{TEXT}")),
        Forward(
            id="f9", spec=ForwardSpec(target=on(read(TEXT))[0].spec.target),
            state=ForwardState.READY, code=ReasonCode.FORWARD_READY, reason="because",
        ),
    ]  # fmt: skip
    found = make_plan(read(TEXT), others)
    # The one of no profile is just what this one asks for: it is not begun twice.
    assert [one.name for one in found.added] == ["db"]
    assert found.same == (others[-1],)
    assert not found.removed


def loose(target: str, id_: str, **more: object) -> Forward:
    """A forward of no profile."""
    one = on(read(f"namespace: shop\nforwards: {{x: {{target: {target}, port: 5432}}}}"))[0]
    spec = msgspec.structs.replace(one.spec, name="", profile="", **more)
    return msgspec.structs.replace(one, id=id_, spec=spec)


@pytest.mark.parametrize(
    ("mode", "lines", "stays"),
    [
        (
            ApplyMode.APPLY,
            ["+ api shop/deploy/api:http", "~ db local port 15432 → 25432", "- old shop/svc/old:1"],
            {"f7", "f8", "f9"},
        ),
        (ApplyMode.MERGE, ["+ api shop/deploy/api:http"], {"f1", "f2", "f7", "f8", "f9"}),
        (
            ApplyMode.REPLACE,
            [
                "+ api shop/deploy/api:http", "~ db local port 15432 → 25432",
                "- old shop/svc/old:1", "- pg of profile other", "- shop/sts/db:5432",
            ],
            {"f9"},
        ),
    ],
)  # fmt: skip
def test_apply_modes(mode: ApplyMode, lines: list[str], stays: set[str]) -> None:
    before = read(f"{TEXT}  old: {{target: svc/old, port: 1}}\n")
    forwards = [
        *on(before)[1:],  # api was stopped
        msgspec.structs.replace(
            on(read("name: other\nforwards: {pg: {target: svc/pg, port: 1}}"))[0], id="f7"
        ),
        loose("sts/db", "f8", local_port=1234),  # its target, but not as the profile has it
        loose("svc/kept", "f9"),
    ]
    changed = TEXT.replace("15432", "25432") + "  kept: {target: svc/kept, port: 5432}\n"
    found = make_plan(read(changed), forwards, mode)
    assert list(found.lines()) == lines
    assert {one.id for one in forwards} - {one.id for one in found.to_stop} == stays
    assert {one.id for one in found.same} == stays - {"f7", "f8"}, "a loose one was adopted"
    nothing = make_plan(before, on(before), mode)
    assert not nothing
    assert len(nothing.same) == 3


def test_replace_with_an_empty_profile_stops_everything() -> None:
    forwards = on(read(TEXT))
    empty = read("name: empty\nforwards: {}")
    assert not make_plan(empty, forwards)
    assert not make_plan(empty, forwards, ApplyMode.MERGE)
    assert make_plan(empty, forwards, ApplyMode.REPLACE).stopped == tuple(forwards)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("namespace: shop", "namespace: shop\ncontext: there"), "context here → there"),
        (("sts/db", "sts/pg"), "shop/sts/db:5432 → shop/sts/pg:5432"),
        (("local: 15432", "local: 15432, queue_timeout: 1m"), "queue_timeout 30s → 60s"),
        (("local: 15432", "local: 15432, address: ::1"), "address localhost → ::1"),
        (("local: 15432", "local: 15432, label: x"), "label none → x"),
        (("local: 15432", "local: 15432, transport: spdy"), "transport auto → spdy"),
    ],
)
def test_every_difference_has_a_description(edit: tuple[str, str], words: str) -> None:
    found = make_plan(read(TEXT.replace(*edit)), on(read(TEXT)))
    assert f"~ db {words}" in list(found.lines())
