"""Certificates of the cluster: extensions by RFC 5280, and strict verification."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from tui_forward.minicluster.certificates import CertificateAuthority, KeyPair


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path / "pki")


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_key_identifiers_link_leaf_certificates_to_the_authority(
    authority: CertificateAuthority,
) -> None:
    ca = load(authority.cert).extensions
    ca_identifier = ca.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert not ca_identifier.critical
    for pair in (
        authority.issue_client("client", "alice"),
        authority.issue_server("server", "kubelet", "127.0.0.1"),
    ):
        leaf = load(pair.cert)
        authority_identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        assert authority_identifier.value.key_identifier == ca_identifier.value.digest
        assert not authority_identifier.critical
        own_identifier = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert own_identifier.value == x509.SubjectKeyIdentifier.from_public_key(leaf.public_key())


def test_key_usage_and_basic_constraints_are_critical(authority: CertificateAuthority) -> None:
    server = authority.issue_server("server", "kubelet", "127.0.0.1")
    for path, is_ca in ((authority.cert, True), (server.cert, False)):
        extensions = load(path).extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical
        assert usage.critical
        assert constraints.value.ca == usage.value.key_cert_sign == is_ca


def handshake(ca: Path, server: KeyPair, client: KeyPair) -> None:
    """Perform a TLS handshake in memory; both sides verify strictly, as Python 3.13 does."""
    contexts = []
    for purpose, pair in (
        (ssl.Purpose.CLIENT_AUTH, server),
        (ssl.Purpose.SERVER_AUTH, client),
    ):
        context = ssl.create_default_context(purpose, cafile=ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pair.cert, pair.key)
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        contexts[0].wrap_bio(to_server, to_client, server_side=True),
        contexts[1].wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
    ]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)


def test_certificates_pass_strict_verification(authority: CertificateAuthority) -> None:
    server = authority.issue_server("server", "kube-apiserver", "127.0.0.1", "localhost")
    client = authority.issue_client("client", "kubernetes-admin", "system:masters")
    handshake(authority.cert, server, client)
