"""Errors of TLS in words: one wording for requests, tunnels and proxies."""

from __future__ import annotations

import ssl

from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode

# Numbers of X509_V_ERR_* in OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_VERIFY_ERRORS = {
    18: "it is self-signed",
    19: "its certificate authority is unknown",
    20: "its certificate authority is unknown",
    21: "its certificate authority is unknown",
    23: "it has been revoked",
    26: "it is not meant for a server",
}
_NAME_MISMATCH = frozenset({62, 63, 64})  # host name, e-mail address, IP address


def describe_tls_error(error: ssl.SSLError, server_hostname: str) -> TransportError:
    """Return the error for a failed TLS handshake or record, with OpenSSL's as its cause."""
    described = _describe(error, server_hostname)
    described.__cause__ = error
    return described


def _describe(error: ssl.SSLError, name: str) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _describe_verify_error(error, name)
    # Errors that are not in OpenSSL's own list have no reason.
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if reason in ("wrong version number", "http request", "record layer failure"):
        return TransportError(Reason(code=ReasonCode.NETWORK_NOT_TLS, server=name))
    if reason == "unsupported protocol" or "protocol version" in reason:
        return TransportError(
            Reason(code=ReasonCode.NETWORK_TLS_VERSION, server=name, detail=reason)
        )
    if "alert unknown ca" in reason:
        reason = "it does not trust its authority"
    elif not ("alert" in reason and "certificate" in reason):
        return TransportError(
            Reason(code=ReasonCode.NETWORK_TLS, server=name, detail=reason or str(error))
        )
    return TransportError(
        Reason(code=ReasonCode.NETWORK_CLIENT_CERTIFICATE, server=name, detail=reason)
    )


def _describe_verify_error(error: ssl.SSLCertVerificationError, name: str) -> TransportError:
    code, detail = ReasonCode.NETWORK_CERTIFICATE, ""
    if error.verify_code in _NAME_MISMATCH:
        code, detail = ReasonCode.NETWORK_CERTIFICATE_NAME, error.verify_message
    elif error.verify_code == _EXPIRED:
        code = ReasonCode.NETWORK_CERTIFICATE_EXPIRED
    elif error.verify_code == _NOT_YET_VALID:
        code = ReasonCode.NETWORK_CERTIFICATE_NOT_YET_VALID
    else:
        detail = _VERIFY_ERRORS.get(error.verify_code, error.verify_message)
    return TransportError(Reason(code=code, server=repr(name), detail=detail))
