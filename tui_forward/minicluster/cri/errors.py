"""The error of a CRI call, the same on both sides of the socket."""

from __future__ import annotations

import grpc

from tui_forward.errors import TuiForwardError


class CriError(TuiForwardError):
    """A gRPC status other than OK."""

    def __init__(self, message: str, *, status: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(message)
        self.status = status

    @property
    def not_found(self) -> bool:
        """Whether the sandbox, container or image does not exist."""
        return self.status is grpc.StatusCode.NOT_FOUND

    @property
    def unavailable(self) -> bool:
        """Whether the runtime is down or restarting."""
        return self.status is grpc.StatusCode.UNAVAILABLE

    @property
    def unimplemented(self) -> bool:
        """Whether the runtime does not implement the call."""
        return self.status is grpc.StatusCode.UNIMPLEMENTED

    @property
    def exhausted(self) -> bool:
        """Whether a limit of the runtime was reached (pending streaming requests)."""
        return self.status is grpc.StatusCode.RESOURCE_EXHAUSTED

    def __str__(self) -> str:
        """Return the text of Go's status errors, which a kubelet forwards to its clients."""
        name = "".join(word.capitalize() for word in self.status.name.split("_"))
        return f"rpc error: code = {name} desc = {self.message}"
