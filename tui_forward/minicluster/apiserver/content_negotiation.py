"""Content negotiation of object requests by the `Accept` header."""

from __future__ import annotations

from dataclasses import dataclass

from tui_forward.minicluster.apiserver.status_errors import StatusError


@dataclass(frozen=True, slots=True)
class MediaType:
    """The media type of a response.

    Attributes:
        kind: Empty for plain objects, else "Table", "PartialObjectMetadata" or
            "PartialObjectMetadataList".
        version: Version of `meta.k8s.io`.
    """

    kind: str = ""
    version: str = "v1"


_PLAIN = MediaType()


def negotiate(accept: str) -> MediaType:
    """Return the first supported media type of an `Accept` header."""
    if not accept:
        return _PLAIN
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        if media not in ("application/json", "*/*", "application/*"):
            continue
        options = dict(part.partition("=")[::2] for part in parameters)
        kind = options.get("as", "")
        if not kind:
            return _PLAIN
        if (
            kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
            and options.get("g") == "meta.k8s.io"
            and options.get("v") in ("v1", "v1beta1")
        ):
            return MediaType(kind, options["v"])
    raise StatusError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
        details={},
    )
