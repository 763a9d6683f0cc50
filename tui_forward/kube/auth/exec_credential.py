"""The answer of an exec plugin: an `ExecCredential`, decoded as client-go does. No I/O."""

from __future__ import annotations

import calendar
import re
from typing import Final, NamedTuple

import msgspec

from tui_forward.kube.kubeconfig.go_yaml import GoYamlError, compose, to_value

_KIND: Final = "ExecCredential"
_GROUP: Final = "client.authentication.k8s.io/"
_KNOWN_VERSIONS: Final = frozenset(_GROUP + version for version in ("v1", "v1beta1", "v1alpha1"))
# As Go's time.Parse(time.RFC3339, …).
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)([.,]\d+)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


class ExecCredentialError(Exception):
    """The answer is not accepted. `problem` follows the name of the plugin and quotes nothing."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class ExecCredential(NamedTuple):
    """Credentials that a plugin printed; empty where it printed none."""

    token: str
    certificate: str  # PEM, with its key
    key: str
    expires_at: float  # seconds since the epoch; infinite without expiry


class _Spec(msgspec.Struct, rename="camel"):
    interactive: bool | None = None
    cluster: dict[str, object] | None = None


class _Status(msgspec.Struct, rename="camel"):
    expiration_timestamp: str | None = None
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    kind: str | None = None
    api_version: str | None = None
    spec: _Spec | None = None
    status: _Status | None = None


def parse_exec_credential(output: bytes, api_version: str) -> ExecCredential:
    """Return the credentials in the output of a plugin, which is JSON or YAML.

    `api_version` is the one in the kubeconfig, which the plugin must answer with.
    ExecCredentialError: it has not, or the answer is incomplete.
    """
    try:
        answer = _decode(output)
    except (msgspec.MsgspecError, GoYamlError, UnicodeDecodeError, RecursionError):
        raise ExecCredentialError("did not print an ExecCredential") from None
    version = answer.api_version or ""
    if (answer.kind or _KIND) != _KIND or version != api_version:
        # Only what is known to be no secret is named.
        is_known = (answer.kind or _KIND) == _KIND and version in _KNOWN_VERSIONS
        what = f"an ExecCredential of {version} instead of" if is_known else "no ExecCredential of"
        raise ExecCredentialError(f"printed {what} {api_version}")
    status = answer.status or _Status()
    certificate, key = status.client_certificate_data or "", status.client_key_data or ""
    if not (status.token or certificate or key):
        raise ExecCredentialError("printed neither a token nor a client certificate")
    if bool(certificate) != bool(key):
        raise ExecCredentialError("printed a client certificate without its key, or a key alone")
    return ExecCredential(status.token or "", certificate, key, _expiry(status))


def _decode(output: bytes) -> _Answer:
    if output.lstrip().startswith(b"{"):
        # JSON: one object, and nothing behind it.
        return msgspec.json.decode(output, type=_Answer)
    node = compose(output)
    data = None if node is None else to_value(node)
    return _Answer() if data is None else msgspec.convert(data, _Answer)


def _expiry(status: _Status) -> float:
    text = status.expiration_timestamp
    if text is None:
        return float("inf")
    seconds = parse_expiry(text)
    if seconds is None:
        raise ExecCredentialError("printed an expirationTimestamp that is not RFC 3339")
    return seconds


def parse_expiry(text: str) -> float | None:
    """Return a time of RFC 3339 in seconds since the epoch, None if Go does not accept it."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    hours, minutes = int(match[9] or 0), int(match[10] or 0)
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 4, month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 59 or hours > 24 or minutes > 60:
        return None
    if not year:
        return float("-inf")
    offset = (hours * 60 + minutes) * 60 * (-1 if match[8] == "-" else 1)
    fraction = float(f"0.{match[7][1:]}") if match[7] else 0.0
    return calendar.timegm((year, month, day, hour, minute, second)) + fraction - offset
