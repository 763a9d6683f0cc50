"""Errors of TLS in words: one wording for requests, tunnels and proxies."""

from __future__ import annotations

import ssl

from tui_forward.errors import TransportError

# Numbers of X509_V_ERR_* in OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_VERIFY_ERRORS = {
    _NOT_YET_VALID: "is not valid yet",
    _EXPIRED: "has expired",
    18: "is self-signed and not trusted",
    19: "is signed by a certificate authority that is not trusted",
    20: "is signed by a certificate authority that is not trusted",
    21: "is signed by a certificate authority that is not trusted",
    23: "has been revoked",
    26: "is not meant for a server",
}
_NAME_MISMATCH = frozenset({62, 63, 64})  # host name, e-mail address, IP address


def describe_tls_error(error: ssl.SSLError, server_hostname: str) -> TransportError:
    """Return the error for a failed TLS handshake or record, with OpenSSL's as its cause.

    Args:
        error: OpenSSL's error.
        server_hostname: The name that was verified.
    """
    described = _describe(error, server_hostname)
    described.__cause__ = error
    return described


def _describe(error: ssl.SSLError, name: str) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _describe_verify_error(error, name)
    # Errors that are not in OpenSSL's own list have no reason.
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if reason in ("wrong version number", "http request", "record layer failure"):
        return TransportError(
            f"{name} does not speak TLS on this port",
            hint="Check the server URL in the kubeconfig: http:// or another port may be meant.",
        )
    if "alert unknown ca" in reason:
        return TransportError(
            f"{name} does not trust the authority of the client certificate",
            hint="Log in again, or renew the client certificate in the kubeconfig.",
        )
    if "alert" in reason and "certificate" in reason:
        return TransportError(
            f"{name} refused the client certificate ({reason})",
            hint="Log in again, or renew the client certificate in the kubeconfig.",
        )
    return TransportError(f"TLS with {name} failed: {reason or error}")


def _describe_verify_error(error: ssl.SSLCertVerificationError, name: str) -> TransportError:
    if error.verify_code in _NAME_MISMATCH:
        return TransportError(
            f"the certificate of the server is not for {name!r}: {error.verify_message}",
            hint="Set tls-server-name in the kubeconfig to a name in the certificate, "
            "or use an address that is in it.",
        )
    problem = _VERIFY_ERRORS.get(error.verify_code, f"was rejected: {error.verify_message}")
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        hint = "Check the clock of this machine, and renew the server's certificate."
    else:
        hint = (
            "Set certificate-authority in the kubeconfig to the authority that signed it "
            "(a proxy that opens TLS needs its own authority there)."
        )
    return TransportError(f"the certificate of {name!r} {problem}", hint=hint)
