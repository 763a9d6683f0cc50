from __future__ import annotations

import pytest

from tui_forward.common.redaction import redact

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"failed with {JWT} in hand",
        "Authorization: Bearer s3cr3t-s3cr3t",
        "bearer s3cr3t-s3cr3t was refused",
        "token=s3cr3t-s3cr3t",
        '{"access_token": "s3cr3t-s3cr3t"}',
        "client_secret: s3cr3t-s3cr3t,",
        "AWS_SECRET_ACCESS_KEY=s3cr3t-s3cr3t",
        "password='s3cr3t-s3cr3t'",
        "https://me:s3cr3t-s3cr3t@proxy:3128 refused",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-s3cr3t\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ns3cr3t-s3cr3t",
    ],
)
def test_secret_patterns_are_redacted(text: str) -> None:
    shown = redact(text)
    assert "s3cr3t" not in shown
    assert JWT not in shown
    assert "[redacted]" in shown


def test_known_secrets_are_redacted_everywhere() -> None:
    assert redact("the hunter2 way", ["hunter2", ""]) == "the [redacted] way"


def test_ordinary_text_is_kept() -> None:
    text = "The SSO session has expired. To refresh it run aws sso login --profile dev"
    assert redact(text) == text


def test_result_is_one_short_printable_line() -> None:
    shown = redact("\x1b[31mred\x1b[0m\n" + "x" * 1000 + "\nthe end", limit=50)
    assert len(shown) == 50
    assert shown.endswith("the end")
    assert shown.isprintable()
