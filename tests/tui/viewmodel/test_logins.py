"""What credential plugins ask for, as they write it."""

from __future__ import annotations

import pytest

from tui_forward.model import NO_OPTIONS, AccessOptions, Login, ReasonCode
from tui_forward.tui.viewmodel.logins import LoginPrompt, LoginTracker, read_prompt

AWS = """Attempting to automatically open the SSO authorization page in your default browser.
If the browser does not open, open the following URL:

https://device.sso.eu-west-1.amazonaws.com/

Then enter the code:

WDJB-MJHT

Alternatively, you may visit the following URL which will autofill the code upon loading:
https://device.sso.eu-west-1.amazonaws.com/?user_code=WDJB-MJHT"""
AZURE = (
    "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter "
    "the code DKNXQPLR7 to authenticate."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AWS, LoginPrompt("https://device.sso.eu-west-1.amazonaws.com/", "WDJB-MJHT")),
        (AZURE, LoginPrompt("https://microsoft.com/devicelogin", "DKNXQPLR7")),
        ("! First copy your one-time code: AB12-CD34", LoginPrompt("", "AB12-CD34")),
        ("Open https://a.example/?code=ABCD-1234 to log in", LoginPrompt(
            "https://a.example/?code=ABCD-1234")),
        ("Please visit https://idp.example/auth in your browser", LoginPrompt(
            "https://idp.example/auth")),
        ("Enter the code from your app", LoginPrompt()),
        ("exit code 1", LoginPrompt()), ("MFA code for AWS: ", LoginPrompt()), ("", LoginPrompt()),
    ],
)  # fmt: skip
def test_address_and_code_are_found(text: str, expected: LoginPrompt) -> None:
    assert read_prompt(text) == expected


def test_prompt_says_what_to_do_and_what_y_copies() -> None:
    both = LoginPrompt("https://sso.example/device", "WDJB-MJHT")
    assert both.text == "open https://sso.example/device, code WDJB-MJHT"
    assert (both.to_copy, both.hint) == ("WDJB-MJHT", "y copies the code")
    address = LoginPrompt("https://sso.example/" + "x" * 500)
    assert len(address.text) < 100
    assert (address.to_copy, address.hint) == (address.address, "y copies the address")
    assert LoginPrompt().hint == "L shows it"


def login(text: str, context: str = "prod-eu", options: AccessOptions = NO_OPTIONS) -> Login:
    cluster = (context, options)
    code = ReasonCode.AUTH_LOGIN_RUNNING
    return Login(clusters=(cluster,), code=code, plugin="aws", text=text)


def test_toast_stays_until_the_login_ends() -> None:
    tracker = LoginTracker(lambda context, _options: f"{context}!")
    assert tracker.notice([login("")]) == []
    (toast,) = tracker.notice([login(AZURE)])
    assert toast.text == (
        "prod-eu!: open https://microsoft.com/devicelogin, code DKNXQPLR7  y copies the code"
    )
    assert toast.stays
    assert tracker.notice([login(AZURE)]) == []
    # Another line that changes what is asked for replaces it.
    (again,) = tracker.notice([login("Waiting for a touch")])
    assert again.text == "prod-eu!: aws asks: Waiting for a touch  L shows it"
    assert again.topic == toast.topic
    (gone,) = tracker.notice([])
    assert (gone.text, gone.topic) == ("", toast.topic)
    assert tracker.notice([]) == []
