"""TLS settings of clients."""

from __future__ import annotations

import ssl


def create_verifying_context(ca_pem: str | None = None) -> ssl.SSLContext:
    """Return a context that verifies servers as strictly as Go, and so kubectl, does.

    It offers ALPN `http/1.1` only: HTTP/2 has no upgrade. `ca_pem` replaces the system's
    authorities. Python 3.13 added checks (`VERIFY_X509_STRICT`) that the certificate authorities of
    many clusters fail: they have no key usage or no authority key identifier.
    """
    context = ssl.create_default_context(cadata=ca_pem)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context
