"""Credentials from an `exec` plugin: the client side of `client.authentication.k8s.io`.

Follows client-go's `plugin/pkg/client/auth/exec`. `kubernetes.aio` runs plugins, too, but it
logs every error and continues without credentials, passes the terminal to the plugin, and has
neither cluster information nor a timeout.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping

import msgspec

from tui_forward.common.redaction import long_words, redact, secret_arguments
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.auth.command_runner import find_executable, run_command
from tui_forward.kube.auth.credentials import ClientCertificate, Credentials, load_pem
from tui_forward.kube.auth.login_text import clean_line
from tui_forward.kube.kubeconfig.loader import ClusterEntry, ExecEntry
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import ReasonCode

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_KNOWN_VERSIONS = (*_VERSIONS, "client.authentication.k8s.io/v1alpha1")
# A login by the user takes minutes, and the codes of identity providers are valid that long.
TIMEOUT_S = 1800.0
_MAX_OUTPUT_BYTES = 1024 * 1024
# Renew before expiry, so that no request arrives with an expired token.
_RENEW_BEFORE_S = 10.0


class _Status(msgspec.Struct, rename="camel"):
    expiration_timestamp: str | None = None
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    status: _Status | None = None


_DECODER = msgspec.json.Decoder(_ExecCredential)


class ExecPlugin:
    """One plugin and its credentials, cached until they expire or are refused.

    The cluster is passed to the plugin with `provideClusterInfo`; the timeout limits its run time.
    """

    def __init__(
        self,
        entry: ExecEntry,
        cluster: ClusterEntry,
        environ: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._entry = entry
        self._cluster = cluster
        self._environ = environ
        self._timeout_s = timeout_s
        self._on_line: Callable[[str], None] = lambda _: None
        self._credentials: Credentials | None = None
        self._expires_at = float("inf")

    @property
    def name(self) -> str:
        """See `CredentialProvider.name`."""
        return self._name

    def listen(self, on_line: Callable[[str], None]) -> None:
        """See `CredentialProvider.listen`: what it writes to stderr."""
        self._on_line = on_line

    @property
    def _name(self) -> str:
        return redact(self._entry.command.replace("\\", "/").rpartition("/")[2], limit=80)

    def current(self) -> Credentials | None:
        """Return the cached credentials until they expire."""
        return self._credentials if time.time() < self._expires_at else None

    async def credentials(self, *, refresh: bool) -> Credentials:
        """Return cached credentials, or run the plugin."""
        cached = self.current()
        if cached is not None and not refresh:
            return cached
        status = self._parse(await self._run())
        expires_at = parse_rfc3339(status.expiration_timestamp)
        self._expires_at = expires_at - _RENEW_BEFORE_S if expires_at else float("inf")
        certificate = None
        if status.client_certificate_data and status.client_key_data:
            certificate = ClientCertificate(
                certificate=status.client_certificate_data.encode(),
                key=status.client_key_data.encode(),
            )
        self._credentials = Credentials(
            authorization=f"Bearer {status.token}" if status.token else "", certificate=certificate
        )
        return self._credentials

    def _command(self, path: str | None) -> list[str]:
        entry = self._entry
        if entry.api_version not in _VERSIONS:
            raise ConfigError(
                f'the exec plugin "{self._name}" uses the apiVersion "{entry.api_version}"',
                hint=f"Use {_VERSIONS[0]}, which newer versions of the plugin support",
            )
        if entry.interactive_mode == "Always":
            raise AuthError(
                f'the exec plugin "{self._name}" requires a terminal (interactiveMode: Always)',
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint="Set interactiveMode to IfAvailable or Never in the kubeconfig",
            )
        executable = find_executable(entry.command, path)
        if executable is None:
            raise AuthError(
                f'the exec plugin "{self._name}" is not installed, or not on the PATH',
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=self._hint(f"Install {self._name}"),
            )
        return [executable, *entry.args]

    def _hint(self, otherwise: str) -> str:
        return redact(self._entry.install_hint) or otherwise

    def _request(self) -> str:
        spec: dict[str, object] = {"interactive": False}
        if self._entry.provide_cluster_info:
            cluster = self._cluster
            where = f'certificate-authority of cluster "{cluster.name}"'
            pem = load_pem(cluster.ca_data, cluster.ca_file, where, str(cluster.source))
            info: dict[str, object] = {
                "server": cluster.server,
                "tls-server-name": cluster.tls_server_name,
                "insecure-skip-tls-verify": cluster.insecure,
                "certificate-authority-data": base64.b64encode(pem).decode(),
                "proxy-url": cluster.proxy_url,
                "disable-compression": cluster.disable_compression,
            }
            spec["cluster"] = {name: value for name, value in info.items() if value}
            spec["cluster"]["config"] = cluster.exec_config  # type: ignore[index]
        return json.dumps(
            {"apiVersion": self._entry.api_version, "kind": "ExecCredential", "spec": spec}
        )

    async def _run(self) -> bytes:
        environ = {**self._environ, **dict(self._entry.env)}
        command = self._command(environ.get("PATH"))
        environ["KUBERNETES_EXEC_INFO"] = self._request()
        finished = await run_command(
            command,
            environ,
            what=f'the exec plugin "{self._name}"',
            timeout_s=self._timeout_s,
            output_limit=_MAX_OUTPUT_BYTES,
            hint=self._hint("Check `command` in the kubeconfig"),
            on_line=lambda line, output: self._on_line(clean_line(line, self._secrets(output))),
        )
        if finished.code != 0:
            message = redact(finished.stderr, self._secrets(finished.output))
            raise AuthError(
                f'the exec plugin "{self._name}" failed with exit code {finished.code}'
                + (f": {message}" if message else ""),
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint="Log in again with the tool behind it; waiting forwards resume by themselves",
            )
        return finished.output

    def _secrets(self, output: bytes) -> list[str]:
        """Return what must not be shown of its error messages."""
        values = [value for _, value in self._entry.env]
        values += secret_arguments(self._entry.args)
        # Its output may be credentials, complete or not.
        values += long_words(output.decode("utf-8", "replace"))
        return values

    def _parse(self, output: bytes) -> _Status:
        def invalid(problem: str) -> AuthError:
            # Never quote the output: it contains the token.
            return AuthError(
                f'the exec plugin "{self._name}" {problem}',
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=self._hint("Run the plugin in a terminal and check its output"),
            )

        if len(output) >= _MAX_OUTPUT_BYTES:
            raise invalid("printed far more than credentials")
        try:
            credential = _DECODER.decode(output)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise invalid("did not print an ExecCredential") from None
        if credential.kind != "ExecCredential" or credential.api_version != self._entry.api_version:
            # Only what is known to be no secret is named.
            if credential.kind == "ExecCredential" and credential.api_version in _KNOWN_VERSIONS:
                other = f"an ExecCredential of {credential.api_version} instead of"
            else:
                other = "no ExecCredential of"
            raise invalid(f"printed {other} {self._entry.api_version}")
        status = credential.status
        if status is None or not (status.token or status.client_certificate_data):
            raise invalid("printed neither a token nor a client certificate")
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise invalid("printed a client certificate without its key, or a key alone")
        return status
