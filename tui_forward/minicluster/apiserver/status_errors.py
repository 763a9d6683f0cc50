"""Errors of the API server and their `Status` objects.

The messages are those of a real API server (apimachinery's `api/errors`): clients parse them.
"""

from __future__ import annotations

import msgspec

from tui_forward.minicluster.apiserver.resources import Object

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class StatusError(Exception):
    """An error response to a request; an empty `reason` is not part of its Status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        metadata: Object | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata  # for the continue token of an expired list
        self.headers = headers
        self.content_type = JSON

    def status(self) -> Object:
        """Return the Status object, with fields in the order of a real API server."""
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": self.metadata or {}}
        status |= {"status": "Failure", "message": self.message}
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def body(self) -> bytes:
        """Return the response body."""
        return msgspec.json.encode(self.status()) + b"\n"


class PlainTextError(StatusError):
    """An error response in plain text, as Go's `http.Error` sends it."""

    def __init__(self, code: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        headers = (*headers, ("X-Content-Type-Options", "nosniff"))
        super().__init__(code, "", message, headers=headers)
        self.content_type = TEXT

    def body(self) -> bytes:
        """Return the response body."""
        return self.message.encode() + b"\n"


def _resource_name(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(kind: str, name: str, group: str) -> Object:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value or key != "group"}


def not_found(plural: str, name: str, group: str = "") -> StatusError:
    """Return the error of an object that does not exist."""
    message = f'{_resource_name(plural, group)} "{name}" not found'
    return StatusError(404, "NotFound", message, details=_details(plural, name, group))


def no_such_path() -> StatusError:
    """Return the error of an unknown path."""
    message = "the server could not find the requested resource"
    return StatusError(404, "NotFound", message, details={})


def already_exists(plural: str, name: str, group: str = "") -> StatusError:
    """Return the error of a name that is in use."""
    message = f'{_resource_name(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=_details(plural, name, group))


def conflict(plural: str, name: str, cause: str, group: str = "") -> StatusError:
    """Return the error of an object that is not in the expected state."""
    resource = _resource_name(plural, group)
    message = f'Operation cannot be fulfilled on {resource} "{name}": {cause}'
    return StatusError(409, "Conflict", message, details=_details(plural, name, group))


def bad_request(message: str) -> StatusError:
    """Return the error of a malformed request."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """Return the error of invalid credentials."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def too_many_requests() -> StatusError:
    """Return the error of a server that has too many requests in progress."""
    message = "Too many requests, please try again later."
    return PlainTextError(429, message, (("Retry-After", "1"),))


def method_not_allowed() -> StatusError:
    """Return the error of a verb that the resource does not support."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, details={})


def invalid(kind: str, name: str, field: str, cause: str, group: str = "") -> StatusError:
    """Return the error of an object that fails validation."""
    causes = [{"reason": "FieldValueInvalid", "message": cause, "field": field}]
    message = f'{_resource_name(kind, group)} "{name}" is invalid: {field}: {cause}'
    details = {**_details(kind, name, group), "causes": causes}
    return StatusError(422, "Invalid", message, details=details)


def expired_continue(token: str) -> StatusError:
    """Return the error of a `continue` token with a compacted version."""
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
    """Return the error of a watch from a compacted version."""
    return StatusError(410, "Expired", f"too old resource version: {version} ({oldest})")
