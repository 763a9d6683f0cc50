"""The `gcp` auth-provider: a command that prints a token.

client-go replaced it in 1.26 by the plugin gke-gcloud-auth-plugin; kubeconfigs still contain it.
The token is kept in memory until it expires and not written back.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping

import msgspec

from tui_forward.common.executables import find_executable
from tui_forward.common.redaction import long_words, redact, secret_arguments
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.auth.command_runner import run_command
from tui_forward.kube.auth.credentials import Credentials, KeptCredentials
from tui_forward.kube.auth.plugin_policy import load_policy
from tui_forward.kube.kubeconfig.loader import AuthProviderEntry
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import ReasonCode

_TIMEOUT_S = 60.0
_RENEW_BEFORE_S = 60.0
_HINT = "Move to gke-gcloud-auth-plugin: `gcloud container clusters get-credentials`"
_STEP = re.compile(r"\.([\w-]+)")


class GcpProvider:
    """Provider of the token in the kubeconfig, or printed by its command."""

    def __init__(self, entry: AuthProviderEntry, environ: Mapping[str, str]) -> None:
        self._config = dict(entry.config)
        self._environ = environ
        self._token = self._config.get("access-token", "")
        self._expires_at = parse_rfc3339(self._config.get("expiry")) or (
            float("inf") if self._token else 0.0
        )

    name = "gcp"

    def listen(self, on_line: Callable[[str], None]) -> None:
        """See `CredentialProvider.listen`: it tells nothing."""

    def terminal_command(self) -> None:
        """See `CredentialProvider.terminal_command`: there is none."""

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        """See `CredentialProvider.accept`; is not called."""
        raise NotImplementedError

    def export(self) -> KeptCredentials | None:
        """See `CredentialProvider.export`."""
        if self.current() is None:
            return None
        return KeptCredentials(token=self._token, expires_at=self._expires_at)

    def adopt(self, kept: KeptCredentials) -> None:
        """See `CredentialProvider.adopt`."""
        self._token, self._expires_at = kept.token, kept.expires_at

    def current(self) -> Credentials | None:
        """See `CredentialProvider.current`."""
        if not self._token or time.time() > self._expires_at - _RENEW_BEFORE_S:
            return None
        return Credentials(authorization=f"Bearer {self._token}")

    async def credentials(self, *, refresh: bool) -> Credentials:
        """See `CredentialProvider.credentials`."""
        if refresh or self.current() is None:
            await self._renew()
        return Credentials(authorization=f"Bearer {self._token}")

    async def _renew(self) -> None:
        program = self._config.get("cmd-path", "")
        if not program:
            raise AuthError(
                "the gcp auth-provider has no cmd-path, and its token has expired",
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=_HINT,
            )
        executable = find_executable(program, self._environ.get("PATH"))
        if executable is None:
            raise AuthError(
                f'the command "{redact(program, limit=80)}" of the gcp auth-provider is not '
                "installed",
                code=ReasonCode.AUTH_PLUGIN_FAILED,
            )
        path = self._environ.get("PATH")
        refusal = load_policy(self._environ).refusal(program, executable, path)
        if refusal:
            raise AuthError(
                f"the command of the gcp auth-provider may not run: {refusal}",
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=_HINT,
            )
        try:
            arguments = shlex.split(self._config.get("cmd-args", ""))
        except ValueError as error:
            raise ConfigError(
                "cmd-args of the gcp auth-provider has a quotation mark that is not closed",
                hint=_HINT,
            ) from error
        finished = await run_command(
            [executable, *arguments],
            self._environ,
            what="the command of the gcp auth-provider",
            timeout_s=_TIMEOUT_S,
            output_limit=1024 * 1024,
            hint=_HINT,
        )
        if finished.code != 0:
            output = finished.output.decode("utf-8", "replace")
            secrets = [self._token, *secret_arguments(arguments), *long_words(output)]
            message = redact(finished.stderr, secrets)
            raise AuthError(
                f"the command of the gcp auth-provider failed with exit code {finished.code}"
                + (f": {message}" if message else ""),
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint="Log in again: `gcloud auth login`",
            )
        self._token, expiry = self._parse(finished.output)
        self._expires_at = parse_rfc3339(expiry) or float("inf")

    def _parse(self, output: bytes) -> tuple[str, str]:
        token_path = self._config.get("token-key") or "{.credential.access_token}"
        expiry_path = self._config.get("expiry-key") or "{.credential.token_expiry}"
        try:
            value = msgspec.json.decode(output)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # client-go treats output other than JSON as the token.
            text = output.decode("ascii", "replace").strip()
            if self._config.get("token-key") or not text or " " in text:
                raise AuthError(
                    "the command of the gcp auth-provider printed no token",
                    code=ReasonCode.AUTH_PLUGIN_FAILED,
                    hint=_HINT,
                ) from None
            return text, ""
        token = _lookup(value, token_path)
        if not token:
            raise AuthError(
                "the command of the gcp auth-provider printed no token",
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint=_HINT,
            )
        return token, _lookup(value, expiry_path)


def _lookup(value: object, path: str) -> str:
    """Return the string at a JSONPath that consists of field names only."""
    for step in _STEP.findall(path):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
