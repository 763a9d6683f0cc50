"""Preview of a profile: a line for each forward, with its effect and what prevents it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tui_forward.model import (
    Connection,
    ConnectionState,
    Context,
    Forward,
    ForwardState,
    LocalAddress,
    PortCheck,
    ReasonCode,
)
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.plan import ApplyMode, make_plan
from tui_forward.profiles.preview import (
    Preview,
    PreviewFacts,
    format_local,
    make_preview,
    ports_to_check,
)
from tui_forward.profiles.profile import Profile

LOCALHOST = ("localhost",)
DESIGN = """\
context: staging
namespace: shop
forwards:
  api: {target: deploy/api-gateway, port: http, local: 8080, needs: pg}
  smtp: {target: svc/smtp, port: smtp, local: 2525}
  pg: {target: sts/postgres, port: postgres, local: 15432, namespace: data}
  redis: {target: sts/redis, port: redis, local: 6379, namespace: data}
"""


def read(text: str) -> Profile:
    return parse_profile(text, Path("shop.yaml"))


def active(
    id_: str, text: str, port: int, *, profile: str = "shop", name: str = "x", host: str = ""
) -> Forward:
    """Return an active forward: `context/namespace/kind/name:port` on a local port."""
    context, namespace, rest = text.split("/", 2)
    target, _, remote = rest.rpartition(":")
    spec = read(
        f"context: {context}\nnamespace: {namespace}\n"
        f"forwards: {{{name}: {{target: {target}, port: {remote}, local: {port}}}}}"
    ).forwards[0].spec  # fmt: skip
    if not profile:
        name = ""
    hosts = (host,) if host else ("127.0.0.1", "::1")
    return Forward(
        id=id_, spec=msgspec.structs.replace(spec, profile=profile, name=name),
        state=ForwardState.READY, code=ReasonCode.FORWARD_READY, reason="",
        listening=tuple(LocalAddress(one, port) for one in hosts),
    )  # fmt: skip


def design_forwards() -> list[Forward]:
    return [
        active("f1", "staging/data/sts/postgres:postgres", 5432, name="pg"),
        active("f2", "staging/shop/deploy/tax:http", 8099, name="tax"),
        active("f3", "staging/data/sts/redis:redis", 6379, name="redis"),
        active("f4", "prod-eu/data/sts/postgres:postgres", 15432, profile=""),
    ]


def connection(number: int, forward_id: str, process: str, *, closed: bool = False) -> Connection:
    return Connection(
        id=number, forward_id=forward_id, client=f"127.0.0.1:{number}", process=process,
        state=ConnectionState.CLOSED if closed else ConnectionState.OPEN, opened_at=1.0,
    )  # fmt: skip


FACTS = PreviewFacts(
    contexts=(Context(name="staging", cluster="c", namespace="shop", current=True),),
    checks={
        (LOCALHOST, 2525): PortCheck(port=2525, problem="used by java (48213)"),
        (LOCALHOST, 15432): PortCheck(port=15432, problem="used by another forward"),
    },
    connections=(
        connection(1, "f1", "pg_dump (51234)"), connection(2, "f1", "psql (51300)"),
        connection(3, "f1", "psql (1)", closed=True), connection(4, "f3", "redis-cli (7)"),
    ),
    shown_context=lambda name, _options: f"{name}!" if name.startswith("prod") else name,
)  # fmt: skip


def preview(
    text: str, forwards: list[Forward], mode: ApplyMode = ApplyMode.APPLY,
    facts: PreviewFacts = FACTS,
) -> Preview:  # fmt: skip
    profile = read(text)
    return make_preview(profile, make_plan(profile, forwards, mode), forwards, facts)


def rows(found: Preview) -> list[str]:
    return [
        " ".join((line.mark, f"{line.context}/{line.namespace}", line.target, line.local,
                  line.effect_text))
        for line in found.lines
    ]  # fmt: skip


def test_preview_of_the_design() -> None:
    found = preview(DESIGN, design_forwards())
    assert rows(found) == [
        "+ staging/shop svc/smtp:smtp :2525 ✗ port used by java (48213)",
        "+ staging/shop deploy/api-gateway:http :8080 after sts/postgres",
        "~ staging/data sts/postgres:postgres :5432 → :15432 ✗ used by prod-eu!/data",
        "- staging/shop deploy/tax:http :8099 stops; no longer in the profile",
        "= staging/data sts/redis:redis :6379 unchanged",
    ]
    assert [text for _, text in found.counts()] == [
        "2 added", "1 changed", "1 removed", "1 unchanged", "2 port conflicts",
    ]  # fmt: skip
    assert found.closing_text() == "Closes 2 open connections (pg_dump, psql)."
    assert found.conflict_text() == "2 local ports are used; their forwards will be blocked."


@pytest.mark.parametrize(
    ("mode", "lines", "closing"),
    [
        (
            ApplyMode.MERGE,
            ["+ smtp", "+ api", "= redis unchanged", "= pg unchanged; differs from the profile",
             "= tax unchanged; no longer in the profile"],
            "",
        ),
        (
            ApplyMode.REPLACE,
            ["+ smtp", "+ api", "~ pg → :15432", "- tax stops; no longer in the profile",
             "-  stops; not in the profile", "= redis unchanged"],
            "Closes 3 open connections (pg_dump, psql, curl).",
        ),
    ],
)  # fmt: skip
def test_modes(mode: ApplyMode, lines: list[str], closing: str) -> None:
    facts = PreviewFacts(connections=(*FACTS.connections, connection(9, "f4", "curl (1)")))
    found = preview(DESIGN, design_forwards(), mode, facts)
    added = [f"{line.mark} {line.name}" for line in found.lines if line.mark == "+"]
    others = [f"{line.mark} {line.name} {line.effect_text}" for line in found.lines
              if line.mark != "+"]  # fmt: skip
    assert added + others == lines
    assert found.closing_text() == closing


@pytest.mark.parametrize(
    ("entry", "forward", "effect"),
    [
        ("{target: svc/db, port: 80}", None, "starts"),
        ("{target: svc/db, port: 80, local: 7}", None, "✗ port used by nginx (1)"),
        # A port of a forward that restarts is free again.
        ("{target: svc/db, port: 81, local: 7}", ("s/n/svc/db:80", 7), "→ svc/db:81"),
        ("{target: svc/db, port: 80, namespace: o}", ("s/n/svc/db:80", 7), "→ o/svc/db:80"),
        ("{target: svc/db, port: 80, context: t}", ("s/n/svc/db:80", 7), "context s → t"),
        ("{target: svc/db, port: 80, local: any}", ("s/n/svc/db:80", 7), "unchanged"),
        ("{target: svc/db, port: 80, local: 8}", ("s/n/svc/db:80", 7), "→ :8"),
        (
            "{target: svc/db, port: 80, local: 8, address: 127.0.0.2}",
            ("s/n/svc/db:80", 7),
            "→ 127.0.0.2:8, address localhost → 127.0.0.2",
        ),
        ("{target: svc/db, port: 80, local: 9, access: {as: bob}}", None, "--as=bob"),
    ],
)  # fmt: skip
def test_effects(entry: str, forward: tuple[str, int] | None, effect: str) -> None:
    forwards = [active("f1", *forward, name="db")] if forward else []
    facts = PreviewFacts(
        checks={(LOCALHOST, 7): PortCheck(port=7, problem="used by nginx (1)")},
    )
    found = preview(f"context: s\nnamespace: n\nforwards: {{db: {entry}}}", forwards, facts=facts)
    assert [line.effect_text for line in found.lines] == [effect]


def test_forward_of_the_same_namespace_is_named_by_its_target() -> None:
    other = active("f1", "s/n/deploy/web:http", 7, profile="")
    found = preview(
        "context: s\nnamespace: n\nforwards: {db: {target: svc/db, port: 80, local: 7}}", [other]
    )
    assert found.lines[0].effect_text == "✗ port used by deploy/web:http"


def test_what_the_profile_leaves_open_is_the_current_context() -> None:
    text = "forwards: {db: {target: svc/db, port: 80}, x: {context: far, target: svc/x, port: 1}}"
    facts = PreviewFacts(
        contexts=(Context(name="far", cluster="c", namespace="apps"),
                  Context(name="here", cluster="c", current=True)),
    )  # fmt: skip
    assert [(one.context, one.namespace) for one in preview(text, [], facts=facts).lines] == [
        ("here", "default"), ("far", "apps"),
    ]  # fmt: skip
    unknown = preview(text, [], facts=PreviewFacts()).lines[0]
    assert (unknown.context, unknown.namespace) == ("", "default")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("port: 5432", ":5432"),
        ("port: 80", "auto"),
        ("port: http", "auto"),
        ("port: 80, local: any", "any"),
        ("port: 80, local: 8080", ":8080"),
        ("port: 80, local: 8080, address: 127.0.0.2", "127.0.0.2:8080"),
        ("port: 80, local: 8080, address: '::1'", ":8080"),
        ("port: 80, local: 8080, address: 0.0.0.0", "! 0.0.0.0:8080"),
        ("port: 80, local: any, address: 'fd00::1'", "! [fd00::1]:any"),
    ],
)
def test_local_end(options: str, shown: str) -> None:
    profile = read(f"forwards: {{db: {{target: svc/db, {options}}}}}")
    assert format_local(profile.forwards[0].spec) == shown


def test_only_given_ports_of_what_starts_are_checked() -> None:
    profile = read(DESIGN + "  any: {target: svc/any, port: 80}\n")
    plan = make_plan(profile, design_forwards())
    assert ports_to_check([plan]) == {(LOCALHOST, 8080), (LOCALHOST, 2525), (LOCALHOST, 15432)}
