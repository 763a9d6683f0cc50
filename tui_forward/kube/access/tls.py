"""TLS settings for an API server: trust, client certificate, verification as in kubectl."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tui_forward.errors import ConfigError
from tui_forward.kube.auth.credentials import ClientCertificate, load_pem
from tui_forward.kube.kubeconfig.loader import ClusterEntry
from tui_forward.transport.tls_context import create_verifying_context


def create_client_context(
    cluster: ClusterEntry, certificate: ClientCertificate | None
) -> ssl.SSLContext:
    """Return a context for requests and upgrades; offers ALPN `http/1.1` only."""
    if cluster.insecure and (cluster.ca_data or cluster.ca_file):
        # As client-go: the authority would be ignored, against the intention of one of the two.
        raise ConfigError(
            f'cluster "{cluster.name}" ({cluster.origin}) sets both certificate-authority and '
            "insecure-skip-tls-verify",
            hint="Remove one of them there",
        )
    if cluster.insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = _create_verifying_context(cluster)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        _load_client_certificate(context, certificate, cluster)
    return context


def _create_verifying_context(cluster: ClusterEntry) -> ssl.SSLContext:
    """Return a context that trusts the cluster's own certificate authorities, else the system's."""
    if not cluster.ca_data and not cluster.ca_file:
        return create_verifying_context()
    where = f'certificate-authority of cluster "{cluster.name}"'
    pem = load_pem(cluster.ca_data, cluster.ca_file, where, cluster.origin)
    try:
        return create_verifying_context(pem.decode("ascii", "ignore"))
    except ssl.SSLError as error:
        raise ConfigError(
            f"{where} contains no valid PEM certificate",
            hint=f"Correct certificate-authority in {cluster.origin}",
        ) from error


def _load_client_certificate(
    context: ssl.SSLContext, certificate: ClientCertificate, cluster: ClusterEntry
) -> None:
    def refuse_passphrase() -> bytes:
        # OpenSSL would otherwise prompt on the terminal, under a running dashboard.
        raise ConfigError(
            f'the client key for cluster "{cluster.name}" is protected by a passphrase',
            hint="Store the key without a passphrase; kubectl requires it, too",
        )

    with _as_file(certificate.certificate + b"\n" + certificate.key) as path:
        try:
            context.load_cert_chain(path, password=refuse_passphrase)
        except ssl.SSLError as error:
            # `error` names an OpenSSL function and a reason, no content.
            reason = (error.reason or "unreadable").replace("_", " ").lower()
            raise ConfigError(
                f'the client certificate and key for cluster "{cluster.name}" cannot be used: '
                f"{reason}",
                hint="Check that certificate and key are PEM and belong together",
            ) from error


def _no_key_file(error: OSError) -> ConfigError:
    cause = (error.strerror or type(error).__name__).lower()
    return ConfigError(
        f"the client key cannot be passed to OpenSSL in a temporary file: {cause}",
        hint="Set TMPDIR to a folder that you can write; see also ulimit -f",
    )


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield a path from which OpenSSL can read `content`.

    Python loads keys from paths only. On Linux the key is in anonymous memory and never reaches
    a disk; elsewhere it is in a private file until OpenSSL has read it.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("client-key", os.MFD_CLOEXEC)
        try:
            try:
                os.write(descriptor, content)
            except OSError as error:  # RLIMIT_FSIZE applies to memory as well
                raise _no_key_file(error) from error
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    try:
        # mkstemp creates files that only their owner can read.
        descriptor, path = tempfile.mkstemp(prefix="tui-forward-", suffix=".pem")
    except OSError as error:
        raise _no_key_file(error) from error
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            raise _no_key_file(error) from error
        yield path
    finally:
        Path(path).unlink(missing_ok=True)
