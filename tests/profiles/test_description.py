from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tui_forward.common.access_options import parse_access_options
from tui_forward.model import Balance
from tui_forward.profiles.description import describe_exposure, describe_forwards
from tui_forward.profiles.env_names import is_protected
from tui_forward.profiles.parser import ProfileError, parse_profile

FILE = Path("/x/.tui-forward.yaml")
FULL = """\
context: prod
namespace: shop
forwards:
  db: {target: sts/db, port: 5432, local: 15432, env: DATA}
  web:
    target: pod/web-1
    port: http
    address: [0.0.0.0, 127.0.0.1, "fe80::1%eth0"]
    context: other
    namespace: web
    pin: true
    transport: spdy
    queue_timeout: 90s
    half_close_timeout: 1s
    preconnect: 4
    preconnect_age: 20s
    label: front
    needs: db
  any: {selector: "app=x,tier=y", port: 80, local: any, balance: spread}
"""


def test_everything_that_a_profile_can_change_is_described() -> None:
    profile = parse_profile(FULL, FILE)
    assert describe_forwards(profile) == [
        "db: sts/db:5432 in context prod, namespace shop",
        "  port 15432 on localhost; sets DATA_HOST, DATA_PORT, DATA_URL",
        "web: pod/web-1:http in context other, namespace web",
        "  its port or the next free one on 0.0.0.0, 127.0.0.1, fe80::1%eth0; "
        "OPEN TO OTHER MACHINES on 0.0.0.0, fe80::1%eth0; sets WEB_HOST, WEB_PORT, WEB_URL; "
        "pinned to this pod; transport spdy; queue timeout 90s; half-close timeout 1s; "
        "opens 4 connections ahead; keeps those 20s at most; label front; needs db",
        "any: -l app=x,tier=y:80 in context prod, namespace shop",
        "  any free port on localhost; sets ANY_HOST, ANY_PORT, ANY_URL; "
        "spreads connections over all Ready pods",
    ]
    assert describe_exposure(profile) == ["web is OPEN TO OTHER MACHINES on 0.0.0.0, fe80::1%eth0"]


def test_every_field_of_a_forward_changes_its_description() -> None:
    """A field that is added to profiles must be shown, too."""
    profile = parse_profile(FULL, FILE)
    bare = parse_profile("forwards: {web: {target: pod/web, port: 80}}", FILE)
    before = describe_forwards(bare)
    (forward,), full = bare.forwards, profile.forwards[1]
    changed = [msgspec.structs.replace(forward, **{name: getattr(full, name)})
               for name in ("env", "needs")]  # fmt: skip
    changed[0] = msgspec.structs.replace(forward, env="OTHER")
    for field in msgspec.structs.fields(forward.spec):
        # Two are derived, and no profile can have the last one.
        if field.name not in ("target", "name", "profile", "proxy"):
            value = 9 if field.name == "local_port" else getattr(full.spec, field.name)
            spec = msgspec.structs.replace(forward.spec, **{field.name: value})
            changed.append(msgspec.structs.replace(forward, spec=spec))
    for field in msgspec.structs.fields(forward.spec.target):
        value = profile.forwards[0].spec.target.kind if field.name == "kind" else None
        if field.name == "options":
            value = parse_access_options({"as": ["bob"]})
        if field.name == "balance":
            value = Balance.SPREAD
        target = msgspec.structs.replace(
            forward.spec.target, **{field.name: value or getattr(full.spec.target, field.name)}
        )
        spec = msgspec.structs.replace(forward.spec, target=target)
        changed.append(msgspec.structs.replace(forward, spec=spec))
    for one in changed:
        other = msgspec.structs.replace(bare, forwards=(one,))
        assert describe_forwards(other) != before, one


def test_long_values_do_not_move_others_off_the_screen() -> None:
    text = msgspec.json.encode(
        {
            "context": "c" * 9000,
            "forwards": {"a": {"target": "pod/a", "port": 1, "label": "l" * 9000}},
        }
    ).decode()
    assert max(map(len, describe_forwards(parse_profile(text, FILE)))) < 500


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONPATH", "DYLD_INSERT_LIBRARIES", "PIP_INDEX_URL",
     "DOCKER_HOST", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "GIT_SSH_COMMAND", "AWS_ENDPOINT_URL",
     "ld_preload", "ENV", "IFS", "KUBECONFIG", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT"],
)  # fmt: skip
def test_variables_that_other_programs_rely_on_are_protected(name: str) -> None:
    assert is_protected(name)


@pytest.mark.parametrize(
    ("entry", "variable"),
    [
        ("x: {env: LD", "LD_HOST"), ("docker: {", "DOCKER_HOST"), ("pip-index: {", "PIP_INDEX_"),
        ("x: {env: KUBERNETES_SERVICE", "KUBERNETES_SERVICE_HOST"), ("x: {env: DYLD", "DYLD_"),
    ],
)  # fmt: skip
def test_profile_that_would_set_a_protected_variable_is_invalid(entry: str, variable: str) -> None:
    comma = "" if entry.endswith("{") else ", "
    with pytest.raises(ProfileError, match=variable):
        parse_profile(f"forwards:\n  {entry}{comma}target: svc/x, port: 80}}", FILE)


@pytest.mark.parametrize(
    "name",
    ["db", "docker-registry", "git", "node", "python-api", "vault", "ssh", "aws-mock", "kube-ui",
     "http", "proxy", "container-x", "ruby", "java", "cargo", "yarn", "s3-endpoint", "uvicorn"],
)  # fmt: skip
def test_usual_names_are_valid(name: str) -> None:
    parse_profile(f"forwards: {{{name}: {{target: svc/x, port: 80}}}}", FILE)
