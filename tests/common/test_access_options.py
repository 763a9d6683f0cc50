from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from tui_forward.common.access_options import (
    describe_access_options,
    parse_access_options,
    with_environment,
)
from tui_forward.common.kubectl_command import format_command, parse_command
from tui_forward.model import (
    BUILT_IN,
    NO_OPTIONS,
    AccessOptions,
    ForwardSpec,
    Target,
    TargetKind,
    TransportChoice,
)

SECRET = "t0ken-of-bob"


def spec(options: AccessOptions = NO_OPTIONS) -> ForwardSpec:
    target = Target(
        context="c", namespace="n", kind=TargetKind.SERVICE, name="web", port="80", options=options
    )
    return ForwardSpec(target=target)


def pasted(text: str, options: AccessOptions = NO_OPTIONS) -> AccessOptions:
    words = shlex.split(text)
    (found,) = parse_command(words, context="here", namespace="", options=options)
    return found.target.options


def test_paths_are_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    options = parse_access_options({"certificate-authority": ["ca.pem"]}, folder=tmp_path)
    assert options.certificate_authority == str(tmp_path / "ca.pem")


def test_empty_values_and_the_last_one_count() -> None:
    assert (
        parse_access_options({"as": ["bob", ""], "client-key": [""], "token": [""]}) == NO_OPTIONS
    )
    assert parse_access_options({"as": ["ann", "bob"]}).impersonate_user == "bob"


def test_secrets_are_kept_apart() -> None:
    options = parse_access_options({"token": [SECRET], "proxy-url": ["http://u:pw@proxy:3128"]})
    assert options.secret_fields == options.secrets == ("token", "proxy_url")
    bare = options.without_secrets()
    assert (bare.token, bare.proxy_url, bare.secret_id) == ("", "", options.secret_id)
    assert bare.without_secrets() == bare
    assert describe_access_options(bare) == describe_access_options(options)
    assert describe_access_options(options) == "--proxy-url --token"
    for text in (repr(options), str(spec(options)), msgspec.json.encode(bare).decode()):
        assert SECRET not in text
        assert "pw" not in text
    # The same token given twice is two identities.
    assert parse_access_options({"token": [SECRET]}) != parse_access_options({"token": [SECRET]})


def test_options_for_another_context() -> None:
    """A token must not reach the server of another context, nor its token a given server."""
    values = {
        "as": ["bob"], "as-group": ["a"], "as-uid": ["1"], "as-user-extra": ["k=v"],
        "request-timeout": ["5s"], "server": ["https://10.0.0.1"], "token": [SECRET],
        "cluster": ["k"], "user": ["u"], "insecure-skip-tls-verify": ["true"],
        "proxy-url": ["http://proxy:3128"], "tls-server-name": ["x"],
    }  # fmt: skip
    kept = ("as", "as-group", "as-uid", "as-user-extra", "request-timeout")
    other = parse_access_options(values).for_other_context()
    assert other == parse_access_options({name: values[name] for name in kept})


def test_command_with_options() -> None:
    values = {"as": ["bob smith"], "as-group": ["a", "b"], "token": [SECRET],
              "disable-compression": ["true"], "request-timeout": ["90s"]}  # fmt: skip
    options = parse_access_options(values)
    command = format_command(spec(options))
    assert SECRET not in command
    assert command.endswith(
        "--token \"$TOKEN\" --as 'bob smith' --disable-compression --as-group a --as-group b "
        "--request-timeout 90s"
    )
    assert format_command(spec(options.without_secrets())) == command
    again = pasted(command)
    assert again.token == "$TOKEN"  # as a shell would replace it
    assert msgspec.structs.replace(again, token=SECRET, secret_id="") == msgspec.structs.replace(
        options, secret_id=""
    )
    assert "--as" in shlex.split(command)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("kubectl --as bob port-forward svc/web 80", {"as": ["bob"]}),
        ("kubectl port-forward -s https://x svc/web 80", {"server": ["https://x"]}),
        (
            "kubectl port-forward svc/web 80 --as-group=a --as-group b --as=c",
            {"as-group": ["a", "b"], "as": ["c"]},
        ),
        (
            "kubectl port-forward --insecure-skip-tls-verify svc/web 80",
            {"insecure-skip-tls-verify": ["true"]},
        ),
        ("kubectl port-forward --insecure-skip-tls-verify=false svc/web 80", {}),
        ("kubectl port-forward --request-timeout=5 svc/web 80", {"request-timeout": ["5"]}),
        ("kubectl --context c port-forward svc/web 80", {}),
    ],
)
def test_pasted_options(text: str, values: dict[str, list[str]]) -> None:
    default = parse_access_options({"cluster": ["given"]})
    assert pasted(text, default) == parse_access_options(values)
    assert pasted("kubectl port-forward svc/web 80", default) == default


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("false", TransportChoice.SPDY),
        ("FALSE", TransportChoice.SPDY),
        ("0", TransportChoice.AUTO),
        ("true", TransportChoice.AUTO),
        ("", TransportChoice.AUTO),
    ],
)
def test_switch_of_kubectls_transports(value: str, expected: TransportChoice) -> None:
    environ = {"KUBECTL_PORT_FORWARD_WEBSOCKETS": value, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "x"}
    defaults = with_environment(BUILT_IN, environ)
    assert defaults.transport is expected
    (found,) = parse_command(
        ["kubectl", "port-forward", "web", "80"], context="c", namespace="", defaults=defaults
    )
    assert found.transport is defaults.spec(found.target).transport is expected
    words = ["tui-forward", "forward", "--transport", "channels", "web", "80"]
    (found,) = parse_command(words, context="c", namespace="", defaults=defaults)
    assert found.transport is TransportChoice.CHANNELS
