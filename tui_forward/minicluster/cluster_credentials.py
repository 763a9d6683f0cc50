"""The users of an embedded cluster: bearer tokens, the administrator's certificate, kubeconfig."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tui_forward.errors import UsageError
from tui_forward.minicluster import kubeconfig
from tui_forward.minicluster.apiserver.auth import (
    ADMINS,
    NO_PERMISSIONS_USER,
    PORT_FORWARD_NAMESPACE,
    PORT_FORWARD_USER,
    VIEWER,
)
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.cluster_folder import ClusterFolder
from tui_forward.minicluster.config import TokenUser
from tui_forward.minicluster.private_file import write_private_file

ADMIN = "kubernetes-admin"


@dataclass(slots=True)
class _Account:
    """A user with a bearer token, and the kubeconfig context that uses it."""

    context: str
    user: str
    groups: tuple[str, ...] = ()
    namespace: str = ""
    uses_token_file: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class ClusterCredentials:
    """Writes and rotates the credentials of a cluster.

    Attributes:
        tokens_path: The API server's file of tokens.
    """

    def __init__(
        self, folder: ClusterFolder, server: str, authority: CertificateAuthority | None
    ) -> None:
        self._kubeconfig_path = folder.kubeconfig
        self._tokens_folder = folder.path / "tokens"
        self.tokens_path = self._tokens_folder / "tokens.json"
        self._server = server
        self._ca: Path | None = None
        self._admin_certificate: tuple[Path, Path] | None = None
        if authority is not None:
            admin = authority.issue_client("admin", ADMIN, ADMINS)
            self._ca = authority.cert
            self._admin_certificate = (admin.cert, admin.key)
        self._accounts = [
            _Account("admin-token", ADMIN, (ADMINS,)),
            _Account("admin-tokenfile", ADMIN, (ADMINS,), uses_token_file=True),
            _Account(VIEWER, VIEWER),
            _Account(PORT_FORWARD_USER, PORT_FORWARD_USER, namespace=PORT_FORWARD_NAMESPACE),
            _Account(NO_PERMISSIONS_USER, NO_PERMISSIONS_USER),
        ]

    def write(self) -> None:
        """Write the API server's token file, the users' token files and the kubeconfig."""
        token_files: dict[str, Path] = {}
        for account in self._accounts:
            if account.uses_token_file:
                path = self._tokens_folder / f"{account.context}.token"
                token_files[account.context] = path
                write_private_file(path, account.token.encode() + b"\n")
        users = [
            TokenUser(token=each.token, user=each.user, groups=each.groups)
            for each in self._accounts
        ]
        write_private_file(self.tokens_path, msgspec.json.encode(users))
        text = kubeconfig.render(
            self._server,
            authority=self._ca,
            certificate=self._admin_certificate,
            tokens={
                each.context: each.token for each in self._accounts if not each.uses_token_file
            },
            token_files=token_files,
            namespaces={each.context: each.namespace for each in self._accounts},
        )
        write_private_file(self._kubeconfig_path, text.encode())

    def rotate(self, name: str) -> list[str]:
        """Replace the tokens of a user or context (of all if empty); return the contexts.

        Raises `UsageError`: there is no such user or context.
        """
        accounts = [each for each in self._accounts if name in ("", each.user, each.context)]
        if not accounts:
            raise UsageError(f"unknown user {name!r}")
        for account in accounts:
            account.token = secrets.token_urlsafe(24)
        self.write()
        return [account.context for account in accounts]
