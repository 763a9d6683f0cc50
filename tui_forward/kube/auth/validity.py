"""What refused credentials say about themselves: when they are valid, and who issued them.

The answer to every refused credential is the same 401. Tokens (JWT, RFC 7519) and certificates
(X.509, RFC 5280) carry their dates; signatures are not checked here.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from datetime import UTC, datetime
from typing import Final

import msgspec

from tui_forward.kube.auth.credentials import Credentials
from tui_forward.model import Reason, ReasonCode

_BEARER: Final = "Bearer "
_MAX_TOKEN: Final = 64 * 1024
_MAX_ISSUER: Final = 120
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0  # [0] EXPLICIT
_COMMON_NAME: Final = bytes.fromhex("0603550403")  # OID 2.5.4.3


class Validity(msgspec.Struct, frozen=True):
    """Dates in seconds since the epoch; None where there is no limit."""

    not_before: float | None = None
    not_after: float | None = None
    issuer: str = ""


def explain_refusal(credentials: Credentials, *, user: str, server: str, now: float) -> Reason:
    """Return why a server may have refused credentials with 401; `now` is the local clock."""
    token = token_validity(credentials.authorization)
    certificate = (
        certificate_validity(credentials.certificate.certificate)
        if credentials.certificate is not None
        else None
    )
    for validity, expired, early in (
        (token, ReasonCode.AUTH_TOKEN_EXPIRED, ReasonCode.AUTH_TOKEN_NOT_YET_VALID),
        (
            certificate,
            ReasonCode.AUTH_CERTIFICATE_EXPIRED,
            ReasonCode.AUTH_CERTIFICATE_NOT_YET_VALID,
        ),
    ):
        if validity is None:
            continue
        if validity.not_after is not None and validity.not_after <= now:
            return _dated(expired, user, validity.not_after)
        if validity.not_before is not None and validity.not_before > now:
            return _dated(early, user, validity.not_before)
    if credentials.authorization.startswith(_BEARER):
        return _refused(ReasonCode.AUTH_TOKEN_REFUSED, token, user, server)
    if not credentials.authorization and credentials.certificate is not None:
        return _refused(ReasonCode.AUTH_CERTIFICATE_REFUSED, certificate, user, server)
    if not credentials.authorization:
        return Reason(code=ReasonCode.AUTH_NO_CREDENTIALS, user=user, server=server)
    return Reason(code=ReasonCode.AUTH_UNAUTHORIZED, server=server)


def _dated(code: ReasonCode, user: str, at: float) -> Reason:
    return Reason(code=code, user=user, at=at, time=format_time(at))


def _refused(code: ReasonCode, validity: Validity | None, user: str, server: str) -> Reason:
    validity = validity or Validity()
    return Reason(
        code=code,
        user=user,
        server=server,
        time=format_time(validity.not_after) if validity.not_after is not None else "",
        detail=f"it is issued by {validity.issuer}" if validity.issuer else "",
    )


def ends_at(credentials: Credentials) -> float | None:
    """Return when credentials end to be valid, by their token and certificate."""
    found = [token_validity(credentials.authorization)]
    if credentials.certificate is not None:
        found.append(certificate_validity(credentials.certificate.certificate))
    ends = [one.not_after for one in found if one is not None and one.not_after is not None]
    return min(ends, default=None)


def token_validity(authorization: str) -> Validity | None:
    """Return the dates of a bearer token; None if it is not a JWT."""
    parts = authorization.removeprefix(_BEARER).split(".")
    if len(authorization) > _MAX_TOKEN or len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(payload)
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    return Validity(
        not_before=_number(claims.get("nbf")),
        not_after=_number(claims.get("exp")),
        issuer=_printable(claims.get("iss")),
    )


def certificate_validity(pem: bytes) -> Validity | None:
    """Return the dates of the first certificate in a PEM text; None if it cannot be read."""
    try:
        text = pem.decode("ascii", "ignore")
        end = "-----END CERTIFICATE-----"
        text = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)]
        return _read_certificate(ssl.PEM_cert_to_DER_cert(text))
    except (ValueError, IndexError, binascii.Error):
        return None


def certificate_names(der: bytes) -> tuple[str, str]:
    """Return the common names of subject and issuer; empty where they cannot be read."""
    try:
        issuer, rest = _find_issuer(der)
        _, _, rest = _element(rest)  # validity
        _, subject, _ = _element(rest)
        return _common_name(subject), _common_name(issuer)
    except (ValueError, IndexError):
        return "", ""


def format_time(seconds: float) -> str:
    """Return a time in UTC, as in `2026-11-29 12:46:37 UTC`; years past 9999 are cut."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "an invalid time"


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e12 else None  # type: ignore[arg-type]


def _printable(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value if character.isprintable())[:_MAX_ISSUER]


def _read_certificate(der: bytes) -> Validity:
    issuer, rest = _find_issuer(der)
    tag, validity, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    first_tag, first, validity = _element(validity)
    last_tag, last, _ = _element(validity)
    return Validity(_time(first_tag, first), _time(last_tag, last), _common_name(issuer))


def _find_issuer(der: bytes) -> tuple[bytes, bytes]:
    """Return the issuer of a certificate, and what follows it: validity, subject, ….

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0], serial, algorithm, … } }.
    """
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)
    tag, _, after = _element(rest)
    if tag == _VERSION:
        rest = after
    _, _, rest = _element(rest)  # serialNumber
    _, _, rest = _element(rest)  # signature
    _, issuer, rest = _element(rest)
    return issuer, rest


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of a DER element, and what follows it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[2 : 2 + size]), 2 + size
    if start + length > len(data):
        raise ValueError("cut short")
    return tag, data[start : start + length], data[start + length :]


def _time(tag: int, value: bytes) -> float:
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("not a time")
    # Two digits of a year as in RFC 5280, section 4.1.2.5.1: 50 to 99 are of the 20th century.
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[0] >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _common_name(issuer: bytes) -> str:
    at = issuer.find(_COMMON_NAME)
    if at < 0:
        return ""
    _, name, _ = _element(issuer[at + len(_COMMON_NAME) :])
    return _printable(name.decode("utf-8", "replace"))
