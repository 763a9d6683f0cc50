"""Names of kubectl's global options that are accepted, without dashes. Cheap to import."""

from __future__ import annotations

from typing import Final

from tui_forward.errors import UsageError

# Options with one value, by the field that has it.
TEXT_FIELDS: Final = {
    "cluster": "cluster", "user": "user", "server": "server", "tls-server-name": "tls_server_name",
    "proxy-url": "proxy_url", "token": "token", "username": "username", "password": "password",
    "as": "impersonate_user", "as-uid": "impersonate_uid",
}  # fmt: skip
PATH_FIELDS: Final = {
    "certificate-authority": "certificate_authority", "client-certificate": "client_certificate",
    "client-key": "client_key",
}  # fmt: skip
BOOL_FIELDS: Final = {
    "insecure-skip-tls-verify": "insecure", "disable-compression": "disable_compression",
}  # fmt: skip
GROUP, EXTRA, TIMEOUT = "as-group", "as-user-extra", "request-timeout"
# Options whose whole value is a secret; that of "proxy-url" may have one in it.
SECRET_OPTIONS: Final = frozenset({"token", "password"})
VALUE_OPTIONS: Final = frozenset({*TEXT_FIELDS, *PATH_FIELDS, GROUP, EXTRA, TIMEOUT})
# Accepted because kubectl accepts them; they do not change what is forwarded.
IGNORED_VALUE_OPTIONS: Final = frozenset(
    {"cache-dir", "log-flush-frequency", "profile-output", "vmodule"}
)
IGNORED_FLAGS: Final = frozenset({"match-server-version", "warnings-as-errors"})
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # as Go's strconv.ParseBool
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_flag(name: str, value: str) -> bool:
    """Return the value of `--NAME=VALUE`, as kubectl reads it."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f'"{value}" is no value of --{name}', hint="write true or false")
