from __future__ import annotations

import pytest

from tui_forward.kube.auth.login_text import clean_line

SECRET = "s3cr3t-s3cr3t-token"


@pytest.mark.parametrize(
    "line",
    [
        "To sign in, open https://login.example/device and enter the code ABCD-1234",
        "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and "
        "enter the code C8DFGHJ5K to authenticate.",
        "https://device.sso.us-east-1.amazonaws.com/?user_code=WXYZ-ABCD",
        "Please visit the following URL in your browser: http://localhost:8000",
        "https://accounts.google.com/o/oauth2/auth?response_type=code&client_id=32555940559.apps"
        ".googleusercontent.com&redirect_uri=http%3A%2F%2Flocalhost%3A8085%2F&scope=openid+"
        "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform&state=qYwXxtvXv8DZGm2Gn7DqUs"
        "nfLGbHTF&code_challenge=zQfmOa2hYHRTXhkZnVYsZmrVvHc9pXmXrNnIdVuVWxE&code_challenge_me"
        "thod=S256",
        "! First copy your one-time code: 7F2A-99CB",
        "https://sso.example.com/oauth2/start?nonce=aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29y",
        "Enter MFA code for arn:aws:iam::123456789012:mfa/jane:",
        "Gehe zu https://login.example/gerät und gib den Code ein",
    ],
)
def test_what_the_user_needs_is_kept(line: str) -> None:
    assert clean_line(line, [SECRET]) == line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b[1;33mOpen\x1b[0m \x1b[4mhttps://x.example\x1b[0m", "Open https://x.example"),
        ("\x1b]8;;https://x.example/d\x1b\\here\x1b]8;;\x1b\\", "https://x.example/d here"),
        ("\x1b]0;title\x07Open https://x.example", "Open https://x.example"),
        ("waiting |\rwaiting /\rwaiting -", "waiting -"),
        ("waiting\r", "waiting"),
        ("a\u202eb\u200bc\x00d", "a b c d"),
        ("\x1b]52;c;ZXZpbA==\x07copied", "copied"),
        ("   ", ""),
        (f"token={SECRET}", "token=[redacted]"),
        (f"got {SECRET} from the cache", "got [redacted] from the cache"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [redacted]"),
        ("https://me:pw1234@proxy/", "https://[redacted]@proxy/"),
    ],
)
def test_escapes_and_secrets_are_removed(line: str, expected: str) -> None:
    assert clean_line(line, [SECRET]) == expected


def test_long_lines_are_cut() -> None:
    assert len(clean_line("a b " * 100_000, [])) <= 1500
