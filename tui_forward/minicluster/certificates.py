"""The certificate authority of the cluster and the certificates of its components (RFC 5280).

Keys are ECDSA P-256, which are fast to generate and make cheap handshakes. Certificates are valid
for a year; a cluster runs for hours.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tui_forward.minicluster.config import TlsFiles

VALIDITY = datetime.timedelta(days=365)
HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths of a certificate and its key."""

    cert: Path
    key: Path


class CertificateAuthority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "minicluster-ca") -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        # Its own certificate is self-signed and needs no AuthorityKeyIdentifier (RFC 5280 4.2.1.1).
        builder = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        self.cert = folder / "ca.crt"
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        validity: tuple[datetime.timedelta, datetime.timedelta] = (-HOUR, VALIDITY),
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        begin, end = validity
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            # Clocks may differ, for example between a host and its virtual machine.
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def issue_client(self, file: str, name: str, *organizations: str) -> KeyPair:
        """Issue a client certificate for user `name` in the groups `organizations`."""
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        return self._issue(file, x509.Name(subject), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(
        self,
        file: str,
        name: str,
        *hosts: str,
        validity: tuple[datetime.timedelta, datetime.timedelta] = (-HOUR, VALIDITY),
    ) -> KeyPair:
        """Issue a serving certificate for host names and IP addresses.

        `validity` is its begin and end, from now on.
        """
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(file, subject, ExtendedKeyUsageOID.SERVER_AUTH, hosts, validity)

    def _issue(
        self,
        file: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        hosts: tuple[str, ...],
        validity: tuple[datetime.timedelta, datetime.timedelta] = (-HOUR, VALIDITY),
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            self._builder(subject, key.public_key(), validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(issuer, critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = KeyPair(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.touch(mode=0o600)
        pkcs8, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, encryption))
        return pair

    def tls_files(self, pair: KeyPair) -> TlsFiles:
        """Return the paths of a key pair and of this authority's certificate."""
        return TlsFiles(cert=str(pair.cert), key=str(pair.key), ca=str(self.cert))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    usages = dict.fromkeys(("key_cert_sign", "crl_sign"), signs_certificates)
    usages |= dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment"), False)
    usages |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, **usages)
