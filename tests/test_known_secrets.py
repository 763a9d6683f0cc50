"""What is remembered is hidden: in every form, in reasons, errors and log records."""

from __future__ import annotations

import base64
import json
import threading
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward import known_secrets
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.known_secrets import HIDDEN, forget_all, hide, hide_at_ends, remember
from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import reason_hint, reason_text

SECRET = 's3cr3t/"with" special+characters'
PEM = """\
-----BEGIN KEY-----
MIIBVAIBADANBgkqhkiG9w0BAQEF
AASCAT4wggE6AgEAAkEAq7BFUpkG
-----END KEY-----"""


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        json.dumps({"token": SECRET}),
    ],
)
def test_every_form_is_hidden(form: str) -> None:
    remember(SECRET)
    assert hide(f"before {form} after").startswith("before ")
    assert form not in hide(f"before {form} after")
    assert HIDDEN in hide(form)


def test_lines_of_a_key_are_hidden() -> None:
    remember(PEM)
    for line in PEM.splitlines()[1:-1]:
        assert hide(f"x{line}y") == f"x{HIDDEN}y"
    assert hide(PEM) == HIDDEN


def test_short_secrets_are_hidden_as_words() -> None:
    remember("admin1", "abc", "", "  ")
    assert hide("admin1 is administrator of admin12, abc") == (
        f"{HIDDEN} is administrator of admin12, abc"
    )


@pytest.mark.parametrize("cut", range(8, 30))
def test_parts_at_the_ends_of_a_text_are_hidden(cut: int) -> None:
    remember("0123456789abcdefghijklmnopqrstuv")
    part = "0123456789abcdefghijklmnopqrstuv"
    assert hide_at_ends(f"it sent {part[:cut]}") == f"it sent {HIDDEN}"
    assert hide_at_ends(f"{part[-cut:]} it sent") == f"{HIDDEN} it sent"


@given(st.text(min_size=6).filter(lambda text: len(text.strip()) >= 10), st.text(), st.text())
def test_secret_never_survives(secret: str, before: str, after: str) -> None:
    forget_all()
    secret = secret.strip()
    remember(secret)
    if secret not in HIDDEN and HIDDEN not in secret:
        hidden = hide(before + secret + after)
        assert secret not in hidden or secret in before + HIDDEN + after


@pytest.mark.parametrize("field", ["detail", "text", "hint", "address", "proxy", "action"])
def test_reasons_have_no_secret_from_their_creation_on(field: str) -> None:
    remember("known-s3cr3t")
    reason = msgspec.convert({"code": "api.error", field: "it is known-s3cr3t."}, Reason)
    assert b"known-s3cr3t" not in msgspec.msgpack.encode(reason)
    outer = Reason(code=ReasonCode.NETWORK_RESET, cause=reason)
    for one in (reason, outer, msgspec.structs.replace(reason, detail="also known-s3cr3t")):
        assert "known-s3cr3t" not in reason_text(one) + reason_hint(one) + repr(one)
    sent = msgspec.json.decode(msgspec.json.encode(reason), type=Reason)
    assert sent == reason


def test_errors_have_no_secret() -> None:
    remember("known-s3cr3t")
    error: TuiForwardError = TransportError("it sent known-s3cr3t", hint="not known-s3cr3t")
    assert str(error) == f"it sent {HIDDEN}"
    assert "known-s3cr3t" not in f"{error!r} {error.hint} {error.message} {error.args}"


def test_number_of_secrets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_secrets, "_MAX_SECRETS", 100)
    remember(*(f"secret-number-{number:05}" for number in range(1000)))
    assert len(known_secrets._known) == 100
    assert hide("secret-number-00999") == HIDDEN


def test_remembering_while_others_hide_is_safe() -> None:
    errors: list[BaseException] = []

    def log() -> None:
        try:
            for _ in range(2000):
                hide("a text of some length, without a secret")
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=log) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        remember(f"another-secret-{number}")
    for thread in threads:
        thread.join()
    assert not errors
