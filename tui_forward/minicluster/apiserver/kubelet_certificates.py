"""Checks of a kubelet's certificate, and their errors in the words of Go's `crypto/x509`."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from typing import cast

from tui_forward.minicluster.socket_connection import SocketConnection, connect

_TIMEOUT_S = 5.0
_PREFIX = "tls: failed to verify certificate: x509: "
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_INVALID_NOW = (9, 10)


class CertificateNameError(ssl.SSLCertVerificationError):
    """A valid certificate, but of other names; its text is Go's."""


def check_names(connection: SocketConnection, host: str) -> None:
    """Check that the peer's certificate is valid for a host. Raises `CertificateNameError`."""
    certificate = (connection.tls.getpeercert() if connection.tls is not None else None) or {}
    entries = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
    is_address = host.replace(".", "").isdigit() or ":" in host
    kind = "IP Address" if is_address else "DNS"
    names = [value for entry, value in entries if entry == kind]
    if host in names:
        return
    if is_address and not names:
        text = f"cannot validate certificate for {host} because it doesn't contain any IP SANs"
    else:
        text = f"certificate is valid for {', '.join(names)}, not {host}"
    raise CertificateNameError(text)


async def describe_certificate_error(
    error: ssl.SSLCertVerificationError, host: str, port: int
) -> str:
    """Return the text of Go for a certificate that was refused.

    The dates of one that is not valid now are read from the server again.
    """
    if isinstance(error, CertificateNameError):
        return f"{_PREFIX}{error.args[0]}"
    if error.verify_code in _INVALID_NOW:
        try:
            dates = await _read_dates(host, port)
        except (OSError, ValueError):
            dates = ""
        return f"{_PREFIX}certificate has expired or is not yet valid{dates}"
    return f"{_PREFIX}certificate signed by unknown authority"


async def _read_dates(host: str, port: int) -> str:
    from cryptography import x509  # only for this error

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(_TIMEOUT_S):
        connection = await connect(host, port)
        try:
            await connection.start_tls(context, server_side=False, server_hostname=host)
            encoded = connection.tls.getpeercert(binary_form=True) if connection.tls else None
        finally:
            connection.abort()
    certificate = x509.load_der_x509_certificate(encoded or b"")
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        limit, relation = certificate.not_valid_before_utc, "before"
    else:
        limit, relation = certificate.not_valid_after_utc, "after"
    return f": current time {now:%Y-%m-%dT%H:%M:%SZ} is {relation} {limit:%Y-%m-%dT%H:%M:%SZ}"
