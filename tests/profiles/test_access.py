from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tui_forward.common.access_options import parse_access_options
from tui_forward.common.kubectl_options import BOOL_FIELDS, EXTRA, TIMEOUT, VALUE_OPTIONS
from tui_forward.errors import UsageError
from tui_forward.model import NO_OPTIONS, AccessOptions, ForwardSpec, Target, TargetKind
from tui_forward.profiles.access import ACCESS_KEYS, SECRET_KEYS, SERVER_KEYS
from tui_forward.profiles.description import describe_exposure, describe_forwards
from tui_forward.profiles.exporters import format_kubectl_commands
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import describe_remark
from tui_forward.profiles.importers.importer import import_forwards
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import describe_changes
from tui_forward.profiles.serializer import serialize_profile, split_saveable

FILE = Path("/profiles/shop.yaml")
SECRET = "s3cret-of-bob"
EVERY_KEY = """\
forwards:
  db:
    target: sts/db
    port: 5432
    access:
      cluster: east
      user: bob
      server: https://10.0.0.1:6443
      tls-server-name: api
      proxy-url: http://proxy:3128
      username: rob
      as: ann
      as-uid: "7"
      as-group: [ops, dev]
      as-user-extra:
        scopes: [read, write]
        reason: test
      certificate-authority: ca.pem
      client-certificate: /pki/bob.pem
      client-key: ~/bob.key
      disable-compression: true
      request-timeout: 1m
"""


def options_of(text: str) -> list[AccessOptions]:
    return [one.spec.target.options for one in parse_profile(text, FILE).forwards]


def problems(text: str, *, team: bool = False) -> list[str]:
    with pytest.raises(ProfileError) as raised:
        parse_profile(text, FILE, team=team)
    return [f"{one.line}:{one.column}: {one.message}" for one in raised.value.problems]


def spec(
    options: AccessOptions = NO_OPTIONS, *, context: str = "c", name: str = "w"
) -> ForwardSpec:
    target = Target(
        context=context, namespace="n", kind=TargetKind.SERVICE, name=name, port="80",
        options=options,
    )  # fmt: skip
    return ForwardSpec(target=target, name=name)


def test_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/bob")
    assert options_of(EVERY_KEY) == [
        AccessOptions(
            cluster="east", user="bob", server="https://10.0.0.1:6443", tls_server_name="api",
            proxy_url="http://proxy:3128", username="rob", impersonate_user="ann",
            impersonate_uid="7", impersonate_groups=("ops", "dev"),
            impersonate_extra=(("scopes", ("read", "write")), ("reason", ("test",))),
            certificate_authority="/profiles/ca.pem", client_certificate="/pki/bob.pem",
            client_key="/home/bob/bob.key", disable_compression=True, request_timeout_s=60.0,
        )
    ]  # fmt: skip


def test_every_option_of_a_command_line_is_a_key() -> None:
    assert {*ACCESS_KEYS, *SECRET_KEYS} == {*VALUE_OPTIONS, *BOOL_FIELDS}
    assert ACCESS_KEYS.keys() >= SERVER_KEYS


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("bob", "6:13: access must be a mapping"),
        ("[bob]", "6:13: access must be a mapping"),
        ("{as: 5}", "6:18: as: must be a string"),
        ("{as: ''}", "6:18: as: is empty or has unprintable characters"),
        ('{as: "a\\eb"}', "6:18: as: is empty or has unprintable characters"),
        ("{as-uid: 1000}", "6:22: as-uid: must be a string"),
        ("{as_group: ops}", "6:14: unknown key `as_group`"),
        ("{as-group: [ops, 5]}", "6:24: as-group: must be a string"),
        ("{as-user-extra: [a=b]}", "6:29: as-user-extra: must be a mapping"),
        ("{as-user-extra: {a: 1}}", "6:29: as-user-extra: must be a string"),
        ("{request-timeout: soon}", '6:31: request-timeout: "soon" is not a'),
        ("{insecure-skip-tls-verify: 1}", "6:40: insecure-skip-tls-verify: must be true or false"),
        ("{insecure-skip-tls-verify: true, certificate-authority: a}",
         "6:13: access: --insecure-skip-tls-verify and --certificate-authority contradict"),
        (f"{{server: 'https://u:{SECRET}@x'}}", "6:13: access: --server has a user or a password"),
        (f"{{token: {SECRET}}}", "6:21: token: is a secret, which a profile cannot have"),
        (f"{{password: {SECRET}}}", "6:24: password: is a secret"),
        (f"{{proxy-url: 'http://u:{SECRET}@p'}}", "6:25: proxy-url: has a user or a password"),
        ("{kubeconfig: x}", "6:14: unknown key `kubeconfig`"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("level", ["profile", "forward"])
def test_problem_has_its_position(access: str, expected: str, level: str) -> None:
    """Columns are those of a forward."""
    forward = f"forwards:\n  a:\n    target: svc/a\n    port: 1\n    # \n    access: {access}\n"
    profile = f"# \n\n\n\nforwards:\naccess:     {access}\n"
    (found,) = problems(forward if level == "forward" else profile)
    assert found.startswith(expected)
    assert SECRET not in found


def test_all_problems_of_options_are_reported() -> None:
    text = "forwards: {}\naccess:\n  as: 1\n  token: x\n  other: 1\n"
    assert [one.partition(" ")[0] for one in problems(text)] == ["3:7:", "4:10:", "5:3:"]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("", AccessOptions(impersonate_user="ann", server="https://x", request_timeout_s=5.0)),
        ("access: {as: bob}", AccessOptions(impersonate_user="bob")),
        ("access: {}", NO_OPTIONS),
        ("context: here",
         AccessOptions(impersonate_user="ann", server="https://x", request_timeout_s=5.0)),
        ("context: other", AccessOptions(impersonate_user="ann", request_timeout_s=5.0)),
        ("context: other, access: {server: 'https://y'}", AccessOptions(server="https://y")),
    ],
)  # fmt: skip
def test_forward_has_the_options_of_its_profile(forward: str, expected: AccessOptions) -> None:
    text = (
        "context: here\naccess: {as: ann, server: 'https://x', request-timeout: 5s}\n"
        f"forwards: {{a: {{target: svc/a, port: 1, {forward}}}}}"
    )
    assert options_of(text) == [expected]


@pytest.mark.parametrize("level", ["profile", "forward"])
@pytest.mark.parametrize("key", sorted(SERVER_KEYS))
def test_profile_that_others_may_write_cannot_choose_who_receives_credentials(
    key: str, level: str
) -> None:
    access = f"access: {{as: bob, {key}: {'true' if key in BOOL_FIELDS else 'x'}}}"
    forward = "target: svc/a, port: 1" + (f", {access}" if level == "forward" else "")
    text = f"forwards: {{a: {{{forward}}}}}" + (f"\n{access}" if level == "profile" else "")
    (found,) = problems(text, team=True)
    assert f"{key} decides who receives your credentials" in found
    assert found.endswith(": it belongs to a working tree")
    with pytest.raises(ProfileError, match="other users can write it"):
        parse_profile(text, FILE, foreign="other users can write it")
    parse_profile(text, FILE)  # of the user


def test_profile_of_a_working_tree_can_choose_users_and_clusters() -> None:
    text = "access: {as: ann, user: bob, cluster: east}\nforwards: {a: {target: svc/a, port: 1}}"
    profile = parse_profile(text, FILE, team=True)
    assert describe_forwards(profile)[1].endswith("access --cluster=east --user=bob --as=ann")


def test_risks_are_named() -> None:
    text = (
        "access: {server: 'https://evil', insecure-skip-tls-verify: true}\n"
        "forwards: {a: {target: svc/a, port: 1}}"
    )
    assert describe_exposure(parse_profile(text, FILE)) == [
        "a SENDS YOUR CREDENTIALS to https://evil",
        "a DOES NOT VERIFY THE CERTIFICATE of the API server",
    ]


def test_difference_of_options_is_a_change() -> None:
    before, after = spec(), spec(AccessOptions(impersonate_user="bob"))
    assert describe_changes(before, after) == ["access none → --as=bob"]
    assert describe_changes(after, before) == ["access --as=bob → none"]
    assert not describe_changes(after, after)


# Saving ------------------------------------------------------------------------------------

# Texts that YAML, a shell or an import could read as something else, and any other ones.
ODD = st.sampled_from([
    "yes", "null", "~", "1000", "0x1F", "1:30", "- a", "a: b", "#a", "{a", "[a]", "&a", "*a", "!a",
    "|", ">", "'", '"', "a'b", "a\\", "system:serviceaccount:a:b", " ", "-n", "--as", "%s", "a,b",
])  # fmt: skip
ANY = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=8).filter(
    str.isprintable
)


def options_from(names: st.SearchStrategy[str]) -> st.SearchStrategy[AccessOptions]:
    name, values = st.just("") | names, st.lists(names, max_size=3, unique=True).map(tuple)
    path = st.just("") | names.map(lambda text: f"/pki/x{text.replace('/', '_')}")
    return st.builds(
        AccessOptions,
        cluster=name, user=name, tls_server_name=name, username=name,
        server=st.sampled_from(["", "https://10.0.0.1:6443", "http://[::1]:8080/k8s"]),
        insecure=st.booleans(), disable_compression=st.booleans(),
        proxy_url=st.sampled_from(["", "socks5://127.0.0.1:1080"]),
        client_certificate=path, client_key=path, impersonate_user=name, impersonate_uid=name,
        impersonate_groups=values,
        impersonate_extra=st.dictionaries(
            names.filter(lambda key: "=" not in key), values.filter(bool), max_size=2
        ).map(lambda extra: tuple(extra.items())),
        request_timeout_s=st.integers(0, 86_400_000).map(lambda ms: ms / 1000),
    )  # fmt: skip


def specs_from(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[ForwardSpec]]:
    one = st.tuples(options_from(names), st.sampled_from(["c", "d"]))
    return st.lists(one, min_size=1, max_size=3).map(
        lambda found: [
            spec(options, context=context, name=f"f{number}")
            for number, (options, context) in enumerate(found)
        ]
    )


def specs_of(text: str) -> list[ForwardSpec]:
    found = [one.spec for one in parse_profile(text, FILE).forwards]
    return [msgspec.structs.replace(one, profile="") for one in found]


@settings(max_examples=25, phases=(Phase.generate,))
@given(specs_from(ODD | ANY), specs_from(ODD | ANY))
def test_saved_options_are_those_that_are_read(
    first: list[ForwardSpec], second: list[ForwardSpec]
) -> None:
    """Also those of a file that is saved again with other forwards."""
    text = serialize_profile(first, FILE)
    assert specs_of(text) == first
    assert serialize_profile(first, FILE, text) == text
    assert specs_of(serialize_profile(second, FILE, text)) == second


@settings(max_examples=25, phases=(Phase.generate,))
@given(specs_from(ODD))
def test_exported_options_are_those_that_are_imported(specs: list[ForwardSpec]) -> None:
    files_missing = {"client_certificate": "", "client_key": ""}  # imports check them
    specs = [
        spec(msgspec.structs.replace(one.target.options, **files_missing), name=one.name)
        for one in specs
    ]
    profile = parse_profile(serialize_profile(specs, FILE), FILE)
    found = import_forwards("\n".join(format_kubectl_commands(profile)))
    assert not found.left_out
    assert [one.target for one in found.specs] == [one.target for one in specs]


def test_common_options_are_those_of_the_profile() -> None:
    bob = AccessOptions(impersonate_user="bob")
    text = serialize_profile([spec(bob, name="a"), spec(bob, name="b")], FILE)
    assert text.startswith("version: 1\ncontext: c\nnamespace: n\naccess:\n  as: bob\nforwards:\n")
    assert text.count("access") == 1
    # The options of one context are not those of another one.
    text = serialize_profile([spec(bob, name="a"), spec(bob, name="b", context="d")], FILE)
    assert text.count("access") == 2


def test_saved_options_stay_as_the_user_wrote_them() -> None:
    before = (
        "context: c\nnamespace: n\nforwards:\n  w:\n    target: svc/w\n    port: 80\n"
        "    access:\n      request-timeout: 60   # slow\n      certificate-authority: ca.pem\n"
    )
    options = AccessOptions(certificate_authority="/profiles/ca.pem", request_timeout_s=60.0)
    assert serialize_profile([spec(options)], FILE, before) == before
    after = serialize_profile([spec(AccessOptions(impersonate_user="bob"))], FILE, before)
    assert "as: bob" in after
    assert "ca.pem" not in after
    assert "access" not in serialize_profile([spec()], FILE, before)


@pytest.mark.parametrize(
    ("given_options", "named"),
    [
        ({"token": [SECRET]}, "--token"),
        ({"username": ["bob"], "password": [SECRET]}, "--password"),
        ({"proxy-url": [f"http://u:{SECRET}@proxy"], "token": [SECRET]}, "--token, --proxy-url"),
    ],
)
@pytest.mark.parametrize("is_of_engine", [False, True])
def test_only_the_forward_with_a_secret_is_not_saved(
    given_options: dict[str, list[str]], named: str, is_of_engine: bool
) -> None:
    """What an engine lists has no secrets, only what they are."""
    options = parse_access_options(given_options)
    secret = spec(options.without_secrets() if is_of_engine else options, name="secret")
    plain = spec(AccessOptions(impersonate_user="bob"), name="plain")
    saveable, others = split_saveable([secret, plain])
    assert saveable == [plain]
    assert others == [(secret, f"{named}, which is never saved")]
    assert specs_of(serialize_profile(saveable, FILE)) == [plain]
    with pytest.raises(UsageError, match=named) as raised:
        serialize_profile([secret, plain], FILE)
    assert SECRET not in str(raised.value) + raised.value.hint


def test_unprintable_options_are_not_saved() -> None:
    specs = [spec(AccessOptions(impersonate_user="a\x1bb")), spec()]
    assert split_saveable(specs) == (specs[1:], [(specs[0], "options with unprintable characters")])


# Import and export -------------------------------------------------------------------------


def test_commands_keep_their_options() -> None:
    command = "port-forward svc/web 8080:80"
    found = import_forwards(
        f"kubectl --as x {command}\n"
        f"alias k='kubectl --as-group=ops --user bob'\nk {command}1\n"
        f"kubectl -s https://10.0.0.1 {command}2 --request-timeout=5s\n"
        f"kubectl --insecure-skip-tls-verify {command}3\n"
        f"kubectl --as $WHO {command}4\n",
        ReadOptions(values={"WHO": "z"}),
    )
    assert not found.left_out
    assert [one.target.options for one in found.specs] == [
        AccessOptions(impersonate_user="x"),
        AccessOptions(impersonate_groups=("ops",), user="bob"),
        AccessOptions(server="https://10.0.0.1", request_timeout_s=5.0),
        AccessOptions(insecure=True),
        AccessOptions(impersonate_user="z"),
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (f"--token {SECRET}", "--token"), (f"--token={SECRET}", "--token"),
        ('--token "$(gcloud auth print-access-token)"', "--token"), ("--token $TOKEN", "--token"),
        (f"--username bob --password={SECRET}", "--password"),
        (f"--proxy-url http://u:{SECRET}@proxy:1", "--proxy-url"),
    ],
)  # fmt: skip
def test_command_with_a_secret_is_left_out(arguments: str, named: str) -> None:
    found = import_forwards(
        f"kubectl {arguments} port-forward svc/web 80\nkubectl --as bob port-forward svc/db 80\n"
    )
    (remark,) = found.left_out
    assert describe_remark(remark).startswith(
        f"line 1: left out: it has a secret, {named}, which is never saved → "
    )
    assert SECRET not in describe_remark(remark)
    assert [one.target.options for one in found.specs] == [AccessOptions(impersonate_user="bob")]


def test_command_with_a_missing_file_is_left_out() -> None:
    found = import_forwards("kubectl --client-key no.pem port-forward svc/web 80\n")
    assert "there is no file" in describe_remark(found.left_out[0])


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shells_read_exported_options(shell: str, tmp_path: Path) -> None:
    hostile = "$(touch PWNED) `touch PWNED`; '\"\\ & |"
    access = {"as": hostile, "as-group": [hostile, "x"], EXTRA: {"k": hostile}, TIMEOUT: "5s"}
    forwards = {
        "a": {"target": "svc/a", "port": 1}, "b": {"selector": "app=b", "port": 2},
    }  # fmt: skip
    text = msgspec.json.encode({"access": access, "forwards": forwards}).decode()
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >> "$LOG"\n')
    kubectl.chmod(0o755)
    program = shutil.which(shell)
    assert program is not None
    subprocess.run(
        [program, "-c", "\n".join(format_kubectl_commands(parse_profile(text, FILE)))],
        cwd=tmp_path, timeout=60, check=True,
        env={"PATH": f"{kubectl.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "log")},
    )  # fmt: skip
    arguments = (tmp_path / "log").read_text().split("\0")
    assert arguments.count(hostile) == 6  # two commands, and the query of a selector
    assert arguments.count(f"k={hostile}") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "log"]
    assert shlex.join(arguments).count("--request-timeout 5s") == 3
