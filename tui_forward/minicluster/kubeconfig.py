"""The kubeconfig of the embedded cluster: one context per kind of user and credential.

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
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

CLUSTER = "minicluster"
ADMIN_CONTEXT = "minicluster"


def render(
    server: str,
    *,
    authority: Path | None,
    certificate: tuple[Path, Path] | None,
    tokens: dict[str, str],
    token_files: dict[str, Path],
    namespaces: dict[str, str],
) -> str:
    """Return the text of the kubeconfig."""
    cluster: dict[str, Any] = {"server": server}
    if authority is not None:
        cluster["certificate-authority-data"] = _encode_file(authority)
    users: dict[str, dict[str, Any]] = {ADMIN_CONTEXT: {}}
    if certificate is not None:
        users[ADMIN_CONTEXT] = {
            "client-certificate-data": _encode_file(certificate[0]),
            "client-key-data": _encode_file(certificate[1]),
        }
    users |= {context: {"token": token} for context, token in tokens.items()}
    users |= {context: {"tokenFile": str(path)} for context, path in token_files.items()}
    users["anonymous"] = {}
    return _to_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": ADMIN_CONTEXT,
            "clusters": [{"name": CLUSTER, "cluster": cluster}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [
                {"name": name, "context": _context(name, namespaces.get(name))} for name in users
            ],
        }
    )


def _context(name: str, namespace: str | None) -> dict[str, str]:
    context = {"cluster": CLUSTER, "user": name}
    if namespace:
        context["namespace"] = namespace
    return context


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
