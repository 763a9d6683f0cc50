"""Names of users and groups that have permissions, for `auth` and for the files of clients."""

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
