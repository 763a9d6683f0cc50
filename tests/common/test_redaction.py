from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.common.yaml_bombs import MAX_CPU_S
from tui_forward.common.redaction import redact, redact_lines, secret_arguments

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"


KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PEM = "-----BEGIN {0}PRIVATE KEY-----\nMIIs3cr3t-s3cr3t\n-----END {0}PRIVATE KEY-----"

# Texts with a secret, which is "s3cr3t" or the second item.
TEXTS: list[str | tuple[str, str]] = [
    (f"failed with {JWT} in hand", JWT),
    (f"only a part: {JWT[:30]}", JWT[:30]),
    "Authorization: Bearer s3cr3t-s3cr3t",
    "authorization:bearer s3cr3t",
    "Authorization: Basic s3cr3t",
    "Authorization: token s3cr3t",
    "bearer s3cr3t-s3cr3t was refused",
    "Bearer s3cr3t",
    "token=s3cr3t-s3cr3t",
    "token=s3cr3t",
    "TOKEN='s3cr3t s3cr3t'",
    '{"access_token": "s3cr3t-s3cr3t"}',
    '{"access_token": "s3cr3t \\" s3cr3t"}',
    '{"clientKeyData":"s3cr3t"}',
    "client-key-data: s3cr3t",
    "client_secret: s3cr3t-s3cr3t,",
    "id-token: s3cr3t",
    "refresh_token=s3cr3t&x=1",
    "GET https://idp/callback?code=1&access_token=s3cr3t HTTP/1.1",
    "url=https://idp/?sig=s3cr3t",
    "AWS_SECRET_ACCESS_KEY=s3cr3t-s3cr3t",
    "AWS_SESSION_TOKEN=s3cr3t",
    "AZURE_CLIENT_SECRET: s3cr3t",
    "password='s3cr3t-s3cr3t'",
    "passwd=s3cr3t",
    "passphrase: s3cr3t",
    "MYSQL_PWD=s3cr3t",
    "api-key: s3cr3t",
    "X-Api-Key: s3cr3t",
    "Cookie: s3cr3t",
    "run: login --token s3cr3t --region eu",
    "run: login --token=s3cr3t --region eu",
    "run: login --client-secret 's3cr3t s3cr3t' --region eu",
    "run: login -p s3cr3t",
    "run: login -t s3cr3t x",
    "run: login --password s3cr3t",
    "https://me:s3cr3t-s3cr3t@proxy:3128 refused",
    "https://s3cr3t@proxy:3128 refused",
    "socks5://me:s3cr@3t-s3cr3t@proxy:1080 refused",
    PEM.format(""),
    PEM.format("RSA "),
    PEM.format("EC "),
    PEM.format("ENCRYPTED "),
    PEM.format("")[:60],
    ("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo=", "LS0tLS1CRUdJTiBSU0EgUFJJ"),
    ("the key AKIAIOSFODNN7EXAMPLE is unknown", "AKIAIOSFODNN7EXAMPLE"),
    ("the key ASIAIOSFODNN7EXAMPLE is unknown", "ASIAIOSFODNN7EXAMPLE"),
    (f"the key {KEY} is unknown", KEY),
    ("k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdz", "aHR0cHM6Ly9zdHMuYW1hem9uYXdz"),
    ("ya29.a0AfH6SMBx_x-y refused", "a0AfH6SMBx_x-y"),
    ("AIza" + "Sy_s3cr3t" + "x" * 26, "AIzaSy_s3cr3t"),
    ("Abc8Q~" + "s3cr3t" * 5 + "xx1", "s3cr3t"),
    ("A1b" * 28 + "xx==", "A1bA1bA1b"),
    ("ghp_" + "s3cr3t" * 6, "s3cr3t"),
    ("sha256~" + "s3cr3t_" * 6 + "x", "s3cr3t_"),
    ("abcdef.0123456789abcdef", "0123456789abcdef"),
    ("opaque Q2" + "xYz1" * 20, "xYz1xYz1"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_secret_patterns_are_redacted(text: str | tuple[str, str]) -> None:
    text, secret = (text, "s3cr3t") if isinstance(text, str) else text
    shown = redact(text)
    assert secret not in shown
    assert "[redacted]" in shown
    assert secret not in redact_lines(f"  {text}\nmore", limit=8000)
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "The SSO session has expired. To refresh it run aws sso login --profile dev",
        "cannot list pods in namespace shop: the token has expired",
        "the bearer token was refused",
        "basic auth is off",
        "ssh -p 2222 host",
        "Listening on http://127.0.0.1:8080/path@2x.png",
        "image registry.example.com:5000/team/app@sha256:" + "0123456789abcdef" * 4,
        "commit 0123456789abcdef0123456789abcdef01234567",
        "GET /api/v1/namespaces/a-very-long-namespace/pods/web-7d4b9c9f6-abcde/portforward?x=1",
        "pod web-7d4b9c9f6-abcde (uid 0b7c9c6e-8f5e-4a53-9a2b-6d9d6c1d6a11)",
        "containerd://" + "0123456789abcdef" * 4,
        "/home/me/.local/share/tui-forward/sessions/Default-Engine-0123456789.json",
        "key=value, monkey: 3, tokens 5",
        "certificate is valid for kubernetes.default.svc.cluster.local, not api.example.com",
    ],
)
def test_ordinary_text_is_kept(text: str) -> None:
    assert redact(text) == text
    assert redact_lines(text, limit=8000) == text


def test_known_secrets_are_redacted_everywhere() -> None:
    assert redact("the hunter2 way", ["hunter2", ""]) == "the [redacted] way"


@given(
    st.lists(
        st.sampled_from(
            ["token", "=", ":", "-", "_", " ", "a", '"', "'", "\\", "://", "@", "eyJ", ".", "/",
             "+", "A1b2", "bearer ", "-----BEGIN PRIVATE KEY-----", "-p ", "sig", "\n", "é"]
        ),
        max_size=40,
    ).map("".join)
)  # fmt: skip
def test_redaction_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert once.isprintable() or not once


@pytest.mark.parametrize(
    "part",
    ["token", "a-", "token-", "-", "eyJ", "eyJa.", "://", "://a@", "A1b", "bearer ", "token=",
     'token="', "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-p ", "sig=", "é", " ", "\\", "=",
     "Q~", "abcdef.", "a/", "LS0tLS1CRUdJTi"],
)  # fmt: skip
def test_redaction_takes_linear_time(part: str) -> None:
    started = time.process_time()
    redact(part * (100_000 // len(part)))
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize(
    ("arguments", "secrets"),
    [
        (["-p", "x"], {"x"}),
        (["--token", "x", "--region", "eu"], {"x"}),
        (["--token=x"], {"x"}),
        (["--region=eu", "eks", "get-token", "eu-1", "/usr/lib/python3.11"], set()),
        (["login", "s3cr3t-arg"], {"s3cr3t-arg"}),
        (["https://u:p@h/x"], {"u:p", "p"}),
        (["--server-id=6dae42f8-4368-4678-94ff"],
         {"6dae42f8-4368-4678-94ff", "--server-id=6dae42f8-4368-4678-94ff"}),
    ],
)  # fmt: skip
def test_secret_arguments(arguments: list[str], secrets: set[str]) -> None:
    assert set(secret_arguments(arguments)) == secrets


def test_result_is_one_short_printable_line() -> None:
    shown = redact("\x1b[31mred\x1b[0m\n" + "x" * 1000 + "\nthe end", limit=50)
    assert len(shown) == 50
    assert shown.endswith("the end")
    assert shown.isprintable()
