"""Answers of exec plugins. The tables are those of kubectl 1.37, tried with a plugin each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tui_forward.kube.auth.exec_credential import (
    ExecCredentialError,
    parse_exec_credential,
    parse_expiry,
)

V1 = "client.authentication.k8s.io/v1"
SECRET = "s3cret-token"


def answer(**changes: Any) -> str:
    content = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": SECRET}, **changes}
    return json.dumps({name: value for name, value in content.items() if value != "left out"})


YAML = f"apiVersion: {V1}\nkind: ExecCredential\nstatus:\n  token: {SECRET}\n"


@pytest.mark.parametrize(
    "output",
    [
        answer(),
        "\t\n " + answer(),
        answer(kind="left out"),
        answer(kind=""),
        answer(unknown=1, spec={"interactive": False, "cluster": {}}),
        YAML,
        YAML + "  expirationTimestamp: 2099-01-01T00:00:00Z\n",
        YAML + "---\nfoo",
        YAML + "...\n}}}",
        "\ufeff" + answer(),
        "\ufeff" + answer() + "\nfoo",
        "\ufeff" + YAML,
        answer().replace('"status"', '"status": {"token": "a"}, "status"'),
        answer(status={"token": SECRET, "clientCertificateData": "", "clientKeyData": None}),
        json.dumps(json.loads(answer()), indent=2) + "\n\n\n",
    ],
)
def test_accepted_answer(output: str) -> None:
    credential = parse_exec_credential(output.encode(), V1)
    assert credential.token == SECRET
    assert not credential.certificate
    assert not credential.key


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("", "no ExecCredential of"),
        (SECRET, "did not print"),
        (f"Using profile {SECRET}\n" + answer(), "did not print"),
        (answer() + "\n{}", "did not print"),
        (answer(apiVersion="left out"), "no ExecCredential of"),
        (answer(apiVersion=V1 + "beta1"), f"of {V1}beta1 instead of {V1}"),
        (answer(apiVersion=SECRET), "no ExecCredential of"),
        (answer(kind="Pod"), "no ExecCredential of"),
        (answer(status={"token": 5}), "did not print"),
        (answer().replace('{"token"', '{"token": 5, "token"'), "did not print"),
        (YAML.replace(SECRET, "12345"), "did not print"),
        (YAML.replace(SECRET, "y"), "did not print"),
        (answer(spec={"interactive": SECRET}), "did not print"),
        (answer(status={"Token": SECRET}), "neither a token nor"),
        (answer(status=None), "neither a token nor"),
        (answer(status={"token": SECRET, "clientKeyData": SECRET}), "a key alone"),
        (answer(status={"token": SECRET, "clientCertificateData": "c"}), "without its key"),
        (answer(status={"token": SECRET, "expirationTimestamp": "soon"}), "not RFC 3339"),
        (answer(status={"token": SECRET, "expirationTimestamp": ""}), "not RFC 3339"),
        (answer(status={"token": SECRET, "expirationTimestamp": 5}), "did not print"),
    ],
)
def test_refused_answer(output: str, problem: str) -> None:
    with pytest.raises(ExecCredentialError) as caught:
        parse_exec_credential(output.encode(), V1)
    assert problem in caught.value.problem
    assert SECRET not in caught.value.problem
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2099-01-01T00:00:00Z", 4070908800.0),
        ("2099-01-01T00:00:00.5+02:00", 4070901600.5),
        ("2099-01-01T00:00:00,5Z", 4070908800.5),
        ("2099-01-01T0:00:00Z", 4070908800.0),
        ("2099-01-01T00:00:00+24:00", 4070822400.0),
        ("2099-01-01T00:00:00-00:60", 4070912400.0),
        ("0000-01-01T00:00:00Z", float("-inf")),
        ("2099-01-01", None),
        ("2099-01-01T00:00:00", None),
        ("2099-01-01t00:00:00z", None),
        ("2099-01-01T24:00:00Z", None),
        ("2099-01-01T00:00:60Z", None),
        ("2099-02-30T00:00:00Z", None),
        ("2099-13-01T00:00:00Z", None),
        ("2099-01-01T00:00:00+0200", None),
        ("2099-01-01 00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("٢٠٩٩-01-01T00:00:00Z", None),
    ],
)
def test_expiry(text: str, expected: float | None) -> None:
    assert parse_expiry(text) == expected
