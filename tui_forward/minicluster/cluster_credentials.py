"""The users of an embedded cluster and its kubeconfig, one context per user and credential.

==================== ======================================================================
context              user and credential
==================== ======================================================================
``minicluster``      administrator, client certificate; the current context
``admin-token``      administrator, bearer token
``admin-tokenfile``  administrator, bearer token in a file (`rotate-token` rewrites it)
``viewer``           read permissions only
``porter``           pods and port-forward in namespace ``shop`` only
``alice``            authenticated, no permissions
``anonymous``        no credentials
==================== ======================================================================

`add_user` adds others, for which Roles and bindings can be created.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.users import (
    ADMINS,
    NO_PERMISSIONS_USER,
    PORT_FORWARD_NAMESPACE,
    PORT_FORWARD_USER,
    VIEWER,
    implied_groups,
)
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.cluster_folder import ClusterFolder, write_private_file
from tui_forward.minicluster.config import TokenUser

ADMIN = "kubernetes-admin"
# The names of the cluster and of the current context.
CLUSTER = "minicluster"


@dataclass(slots=True)
class _Account:
    """A user with a bearer token, and the kubeconfig context that uses it."""

    context: str
    user: str
    groups: tuple[str, ...] = ()
    namespace: str = ""
    token_file: Path | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class ClusterCredentials:
    """Writes and rotates the credentials of a cluster; without an authority it has no TLS."""

    def __init__(
        self, folder: ClusterFolder, server: str, authority: CertificateAuthority | None
    ) -> None:
        self._kubeconfig_path = folder.kubeconfig
        tokens_folder = folder.path / "tokens"
        self.tokens_path = tokens_folder / "tokens.json"  # the API server's file of tokens
        self._cluster = {"server": server}
        self._admin: dict[str, str] = {}
        if authority is not None:
            self._cluster["certificate-authority-data"] = _encode_file(authority.cert)
            admin = authority.issue_client("admin", ADMIN, ADMINS)
            self._admin = {
                "client-certificate-data": _encode_file(admin.cert),
                "client-key-data": _encode_file(admin.key),
            }
        token_file = tokens_folder / "admin-tokenfile.token"
        self._accounts = [
            _Account("admin-token", ADMIN, (ADMINS,)),
            _Account(VIEWER, VIEWER),
            _Account(PORT_FORWARD_USER, PORT_FORWARD_USER, namespace=PORT_FORWARD_NAMESPACE),
            _Account(NO_PERMISSIONS_USER, NO_PERMISSIONS_USER),
            _Account("admin-tokenfile", ADMIN, (ADMINS,), token_file=token_file),
        ]

    def write(self) -> None:
        """Write the API server's token file, the users' token files and the kubeconfig."""
        users: dict[str, dict[str, str]] = {CLUSTER: self._admin}
        contexts: dict[str, dict[str, str]] = {CLUSTER: {}}
        for each in self._accounts:
            users[each.context] = {"token": each.token}
            contexts[each.context] = {"namespace": each.namespace} if each.namespace else {}
            if each.token_file is not None:
                write_private_file(each.token_file, each.token.encode() + b"\n")
                users[each.context] = {"tokenFile": str(each.token_file)}
        users["anonymous"] = contexts["anonymous"] = {}
        tokens = [
            TokenUser(token=each.token, user=each.user, groups=each.groups)
            for each in self._accounts
        ]
        write_private_file(self.tokens_path, msgspec.json.encode(tokens))
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CLUSTER,
            "clusters": [{"name": CLUSTER, "cluster": self._cluster}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [
                {"name": name, "context": {"cluster": CLUSTER, "user": name, **namespace}}
                for name, namespace in contexts.items()
            ],
        }
        write_private_file(self._kubeconfig_path, _to_yaml(kubeconfig).encode())

    def add_user(self, user: str, groups: tuple[str, ...] = (), namespace: str = "") -> str:
        """Add a user with a token, or give it other groups; return its context.

        A service account is the user `system:serviceaccount:NAMESPACE:NAME`. UsageError: its
        context would be that of another user.
        """
        if not user:
            raise UsageError("a user needs a name")
        taken = {CLUSTER, "anonymous"} | {each.context for each in self._accounts}
        known = next((each for each in self._accounts if each.context == each.user == user), None)
        if known is None and user in taken:
            raise UsageError(f"{user!r} is a context already", hint="Choose another name.")
        account = known or _Account(user, user)
        account.groups, account.namespace = (*groups, *implied_groups(user)), namespace
        if known is None:
            self._accounts.append(account)
        self.write()
        return account.context

    def rotate(self, name: str) -> list[str]:
        """Replace the tokens of a user or context (of all if empty); return the contexts."""
        accounts = [each for each in self._accounts if name in ("", each.user, each.context)]
        if not accounts:
            raise UsageError(f"unknown user {name!r}")
        for account in accounts:
            account.token = secrets.token_urlsafe(24)
        self.write()
        return [account.context for account in accounts]


def _encode_file(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _to_yaml(value: Any, indent: str = "") -> str:
    """Return block-style YAML with scalars in JSON, a subset of YAML."""
    if isinstance(value, dict) and value:
        return "".join(
            f"{indent}{key}: {json.dumps(each)}\n"
            if not isinstance(each, dict | list) or not each
            else f"{indent}{key}:\n{_to_yaml(each, indent + '  ')}"
            for key, each in value.items()
        )
    if isinstance(value, list) and value:
        return "".join(f"{indent}- {_to_yaml(each, indent + '  ').lstrip()}" for each in value)
    return f"{indent}{json.dumps(value)}\n"
