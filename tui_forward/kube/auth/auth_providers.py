"""The two `auth-provider`s still found in kubeconfigs: `oidc` and `gcp`.

`kubernetes.aio` refreshes OIDC tokens without verifying the identity provider's certificate
unless the kubeconfig pins one, and so would disclose the refresh token to a man in the middle;
hence this package refreshes them. Follows client-go `plugin/pkg/client/auth/oidc` and, for
gcp, the plugin of client-go until 1.25.
"""

from __future__ import annotations

from collections.abc import Mapping

from tui_forward.errors import AuthError
from tui_forward.kube.auth.credentials import CredentialProvider
from tui_forward.kube.kubeconfig.loader import UserEntry

_SUCCESSORS = {
    "azure": "kubelogin (`kubelogin convert-kubeconfig`)",
    "openstack": "client-keystone-auth",
}


def make_provider(user: UserEntry, environ: Mapping[str, str]) -> CredentialProvider:
    """Return the provider named by a user's `auth-provider`, or raise AuthError."""
    from tui_forward.kube.auth.gcp import GcpProvider
    from tui_forward.kube.auth.oidc import OidcProvider

    entry = user.auth_provider
    assert entry is not None
    if entry.name == "oidc":
        return OidcProvider(user, environ)
    if entry.name == "gcp":
        return GcpProvider(entry, environ)
    successor = _SUCCESSORS.get(entry.name, "an exec plugin")
    raise AuthError(
        f'the auth-provider "{entry.name}" of user "{user.name}" is not supported',
        hint=f"kubectl no longer supports it either: change the kubeconfig to {successor}",
    )
