from __future__ import annotations

import ssl

from tui_forward.transport.tls_context import create_verifying_context


def test_verification_is_as_strict_as_in_go() -> None:
    context = create_verifying_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
