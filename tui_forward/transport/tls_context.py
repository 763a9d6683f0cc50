"""TLS settings of clients."""

from __future__ import annotations

import re
import ssl

_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def create_verifying_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """Return a context that verifies servers as strictly as Go, and so kubectl, does.

    It offers ALPN `http/1.1` only: HTTP/2 has no upgrade. `ca_pem` replaces the system's
    authorities; any certificate in it is trusted, also that of an intermediate authority or of the
    server itself. Text around its certificates is ignored, and so are certificates that cannot be
    read; ssl.SSLError if none can.

    The common name of a server does not count. Python 3.13 added checks (`VERIFY_X509_STRICT`) that
    the certificate authorities of many clusters fail: they have no key usage or no authority key
    identifier.
    """
    context = ssl.create_default_context(cadata=_readable_authorities(ca_pem))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def _readable_authorities(pem: str | None) -> str | None:
    """Return the certificates of a text that OpenSSL can read; ssl.SSLError if there is none."""
    if pem is None:
        return None
    failure = ssl.SSLError("there is no PEM certificate")
    readable = []
    for block in _PEM_CERTIFICATE.findall(pem):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
        except ssl.SSLError as error:
            failure = error
        else:
            readable.append(block)
    if not readable:
        raise failure
    return "\n".join(readable)
