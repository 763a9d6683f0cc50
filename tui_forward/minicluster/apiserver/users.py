"""Names of users and groups that have permissions, and of the users of a new cluster."""

from __future__ import annotations

ADMINS = "system:masters"
NODES = "system:nodes"
ANONYMOUS = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"

# A user with the permissions that port-forward requires, in one namespace only.
PORT_FORWARD_USER = "porter"
PORT_FORWARD_NAMESPACE = "shop"
# An authenticated user without permissions.
NO_PERMISSIONS_USER = "alice"
# A user with read permissions only.
VIEWER = "viewer"

_SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_SERVICE_ACCOUNTS = "system:serviceaccounts"


def service_account_user(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"{_SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def parse_service_account(user: str) -> tuple[str, str] | None:
    """Return namespace and name of the service account that is a user; None for other users."""
    namespace, separator, name = user.removeprefix(_SERVICE_ACCOUNT_PREFIX).partition(":")
    is_account = user.startswith(_SERVICE_ACCOUNT_PREFIX) and separator and namespace and name
    return (namespace, name) if is_account else None


def implied_groups(user: str) -> tuple[str, ...]:
    """Return the groups that a user is in by its name: those of service accounts."""
    account = parse_service_account(user)
    if account is None:
        return ()
    return _SERVICE_ACCOUNTS, f"{_SERVICE_ACCOUNTS}:{account[0]}"
