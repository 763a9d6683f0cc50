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

from tui_forward.common.executables import find_executable
from tui_forward.common.redaction import long_words, redact, secret_arguments
from tui_forward.errors import AuthError
from tui_forward.kube.auth.command_runner import run_command
from tui_forward.kube.auth.credentials import Credentials, KeptCredentials, load_pem
from tui_forward.kube.auth.exec_credential import (
    ExecCredential,
    ExecCredentialError,
    parse_exec_credential,
)
from tui_forward.kube.auth.login_text import clean_line
from tui_forward.kube.auth.plugin_policy import load_policy
from tui_forward.kube.kubeconfig.loader import ClusterEntry, ExecEntry
from tui_forward.model import MAX_LOGIN_OUTPUT, LoginCommand, Reason, ReasonCode

# A login by the user takes minutes, and the codes of identity providers are valid that long.
TIMEOUT_S = 1800.0
_MAX_OUTPUT_BYTES = 8 * 1024 * 1024
# Renew before expiry, so that no request arrives with an expired token.
_RENEW_BEFORE_S = 10.0


class ExecPlugin:
    """One plugin and its credentials, cached until they expire or are refused.

    The cluster is passed to the plugin with `provideClusterInfo`; the timeout limits its run time.
    With `has_terminal` it gets the terminal of this process, if its `interactiveMode` allows it.
    """

    def __init__(
        self,
        entry: ExecEntry,
        cluster: ClusterEntry,
        environ: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
        has_terminal: bool = False,
    ) -> None:
        self._entry = entry
        self._cluster = cluster
        self._environ = environ
        self._timeout_s = timeout_s
        self._is_interactive = has_terminal and entry.interactive_mode != "Never"
        self._on_line: Callable[[str], None] = lambda _: None
        self._kept: KeptCredentials | None = None
        self._credentials: Credentials | None = None  # the same, for requests

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
        if self._kept is None or time.time() >= self._kept.expires_at - _RENEW_BEFORE_S:
            return None
        return self._credentials

    async def credentials(self, *, refresh: bool) -> Credentials:
        """Return cached credentials, or run the plugin."""
        cached = self.current()
        if cached is not None and not refresh:
            return cached
        return self._store(await self._run())

    def terminal_command(self) -> LoginCommand | None:
        """See `CredentialProvider.terminal_command`: the plugin, unless it never uses one."""
        if self._entry.interactive_mode == "Never":
            return None
        command = self._command(self._environ.get("PATH"), interactive=True)
        info = {"KUBERNETES_EXEC_INFO": self._request(interactive=True)}
        return LoginCommand(
            plugin=self._name,
            arguments=tuple(command),
            environ={**dict(self._entry.env), **info},
        )

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        """See `CredentialProvider.accept`."""
        if exit_code != 0:
            raise self._failed(exit_code, "")
        return self._store(output, limit=MAX_LOGIN_OUTPUT)

    def _store(self, output: bytes, *, limit: int = _MAX_OUTPUT_BYTES) -> Credentials:
        answer = self._parse(output, limit)
        return self._keep(
            KeptCredentials(
                token=answer.token,
                certificate=answer.certificate.encode(),
                key=answer.key.encode(),
                expires_at=answer.expires_at,
            )
        )

    def _keep(self, kept: KeptCredentials) -> Credentials:
        self._kept, self._credentials = kept, kept.credentials()
        return self._credentials

    def export(self) -> KeptCredentials | None:
        """See `CredentialProvider.export`."""
        return self._kept if self.current() is not None else None

    def adopt(self, kept: KeptCredentials) -> None:
        """See `CredentialProvider.adopt`."""
        self._keep(kept)

    def _command(self, path: str | None, *, interactive: bool) -> list[str]:
        entry = self._entry
        if entry.interactive_mode == "Always" and not interactive:
            raise AuthError(Reason(code=ReasonCode.AUTH_TERMINAL_REQUIRED, name=self._name))
        executable = find_executable(entry.command, path)
        if executable is None:
            raise AuthError(
                Reason(
                    code=ReasonCode.AUTH_PLUGIN_MISSING,
                    name=self._name,
                    hint=redact(entry.install_hint),
                )
            )
        refusal = load_policy(self._environ).refusal(entry.command, executable, path)
        if refusal:
            raise AuthError(
                Reason(code=ReasonCode.AUTH_PLUGIN_DENIED, name=self._name, detail=refusal)
            )
        return [executable, *entry.args]

    def _hint(self, otherwise: str) -> str:
        return redact(self._entry.install_hint) or otherwise

    def _request(self, *, interactive: bool) -> str:
        spec: dict[str, object] = {"interactive": interactive}
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
        interactive = self._is_interactive
        # As in client-go, `env` of the plugin does not say where it is found.
        command = self._command(self._environ.get("PATH"), interactive=interactive)
        environ["KUBERNETES_EXEC_INFO"] = self._request(interactive=interactive)
        finished = await run_command(
            command,
            environ,
            what=f'the exec plugin "{self._name}"',
            timeout_s=self._timeout_s,
            output_limit=_MAX_OUTPUT_BYTES,
            hint=self._hint("Check `command` in the kubeconfig"),
            has_terminal=interactive,
            on_line=lambda line, output: self._on_line(clean_line(line, self._secrets(output))),
        )
        if finished.code != 0:
            raise self._failed(
                finished.code, redact(finished.stderr, self._secrets(finished.output))
            )
        return finished.output

    def _failed(self, exit_code: int, message: str) -> AuthError:
        return AuthError(
            f'the exec plugin "{self._name}" failed with exit code {exit_code}'
            + (f": {message}" if message else ""),
            code=ReasonCode.AUTH_PLUGIN_FAILED,
            hint="Log in again: press L in the dashboard, or use the tool behind it",
        )

    def _secrets(self, output: bytes) -> list[str]:
        """Return what must not be shown of its error messages."""
        values = [value for _, value in self._entry.env]
        values += secret_arguments(self._entry.args)
        # Its output may be credentials, complete or not.
        values += long_words(output.decode("utf-8", "replace"))
        return values

    def _parse(self, output: bytes, limit: int) -> ExecCredential:
        try:
            if len(output) >= limit:
                raise ExecCredentialError("printed far more than credentials")
            return parse_exec_credential(output, self._entry.api_version)
        except ExecCredentialError as error:
            # The output is never quoted: it contains the token.
            raise AuthError(
                f'the exec plugin "{self._name}" {error.problem}',
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=self._hint("Run the plugin in a terminal and check its output"),
            ) from None
