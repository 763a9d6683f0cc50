"""Failures as the API server words them: `Status` objects.

The texts are those of a real API server (apimachinery's `api/errors`), because clients and
people read them.
"""

from __future__ import annotations

from typing import Any

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class StatusError(Exception):
    """A request that is answered with an error.

    Args:
        code: HTTP status.
        reason: `reason` of the Status ("NotFound"), or empty for none.
        message: `message` of the Status.
        details: `details` of the Status.
        metadata: `metadata` of the Status, for the continue token of an expired list.
        headers: Further response headers.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata
        self.headers = headers
        self.content_type = JSON

    def status(self) -> dict[str, Any]:
        """The Status object, fields in the order of the real one."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata or {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def body(self) -> bytes:
        """What goes over the wire."""
        return msgspec.json.encode(self.status()) + b"\n"


class PlainTextError(StatusError):
    """A failure answered in plain text, as Go's `http.Error` does."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, "", message, headers=(("X-Content-Type-Options", "nosniff"),))
        self.content_type = TEXT

    def body(self) -> bytes:
        """What goes over the wire."""
        return self.message.encode() + b"\n"


def not_found(plural: str, name: str, group: str = "") -> StatusError:
    """No object of that name."""
    resource = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    if not group:
        del details["group"]
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', details=details)


def no_such_path() -> StatusError:
    """Nothing is served at this path."""
    return StatusError(
        404, "NotFound", "the server could not find the requested resource", details={}
    )


def already_exists(plural: str, name: str, group: str = "") -> StatusError:
    """An object of that name is there already."""
    resource = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    if not group:
        del details["group"]
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists', details=details)


def conflict(plural: str, name: str, cause: str, group: str = "") -> StatusError:
    """The object is not in the state the request expects."""
    resource = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    if not group:
        del details["group"]
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": {cause}',
        details=details,
    )


def bad_request(message: str) -> StatusError:
    """The request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """The credentials are not valid."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    """The resource does not support the verb."""
    return StatusError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details={},
    )


def invalid(kind: str, name: str, field: str, cause: str, group: str = "") -> StatusError:
    """The object breaks a rule."""
    details: dict[str, Any] = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": "FieldValueInvalid", "message": cause, "field": field}],
    }
    if not group:
        del details["group"]
    what = f"{kind}.{group}" if group else kind
    return StatusError(
        422, "Invalid", f'{what} "{name}" is invalid: {field}: {cause}', details=details
    )


def expired_continue(token: str) -> StatusError:
    """A `continue` token whose version has been compacted away."""
    return StatusError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted "
        "between the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": token},
    )


def too_old(version: int, oldest: int) -> StatusError:
    """A watch or exact list from before the remembered history."""
    return StatusError(410, "Expired", f"too old resource version: {version} ({oldest})")
