"""Which certificate a server presents, and why it is not trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from tui_forward.common.formatting import format_age
from tui_forward.errors import TuiForwardError
from tui_forward.kube.auth.validity import certificate_names, format_time
from tui_forward.model import Reason, ReasonCode
from tui_forward.session.doctor.chain import Chain
from tui_forward.transport import connect
from tui_forward.transport.tls_stream import TlsStream

# Words in the names of authorities of programs that terminate TLS to read it.
_INTERCEPTORS: Final = (
    "avast", "barracuda", "blue coat", "bluecoat", "check point", "cisco umbrella", "cloudflare "
    "gateway", "eset", "forcepoint", "fortigate", "fortinet", "kaspersky", "mcafee", "menlo",
    "mitmproxy", "netskope", "palo alto", "proxy", "skyhigh", "sophos", "squid", "symantec web",
    "trend micro", "websense", "zscaler",
)  # fmt: skip


async def explain_certificate(chain: Chain, reason: Reason) -> Reason:
    """Return why a certificate was refused, after a look at it without verification.

    Nothing is sent over that connection.
    """
    endpoint = chain.endpoint
    if reason.code is not ReasonCode.NETWORK_CERTIFICATE or endpoint is None:
        return reason
    looking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    looking.check_hostname = False
    looking.verify_mode = ssl.CERT_NONE
    looking.set_alpn_protocols(["http/1.1"])
    from dataclasses import replace as replace_fields

    try:
        stream = await connect(
            replace_fields(endpoint, tls=looking), timeout_s=chain.limits.connect_s
        )
    except TuiForwardError:
        return reason
    assert isinstance(stream, TlsStream)
    der, chain_length = stream.certificate_der, stream.certificate_count
    stream.abort()
    subject, issuer = certificate_names(der)
    chain.trace.record("certificate", subject=subject, issuer=issuer, count=chain_length)
    authorities = _names(endpoint.tls.get_ca_certs()) if endpoint.tls is not None else ()
    return judge_certificate(
        reason, subject=subject, issuer=issuer, count=chain_length, has_own_ca=endpoint.has_own_ca,
        authorities=authorities, has_proxy=endpoint.proxy is not None,
    )  # fmt: skip


def judge_certificate(
    reason: Reason, *, subject: str, issuer: str, count: int | None, has_own_ca: bool,
    authorities: Iterable[str], has_proxy: bool,
) -> Reason:  # fmt: skip
    """Return why a certificate whose authority is unknown is not trusted. Pure.

    `count` is how many certificates the server sent, None if unknown; `authorities` are the names
    of those that are trusted.
    """
    lowered = issuer.casefold()
    if has_proxy or any(word in lowered for word in _INTERCEPTORS):
        return replace(reason, code=ReasonCode.NETWORK_TLS_INTERCEPTED, name=issuer, hint="")
    if has_own_ca and issuer and issuer in authorities:
        return replace(reason, code=ReasonCode.NETWORK_CERTIFICATE_REPLACED, name=issuer)
    if has_own_ca and count == 1 and issuer and issuer != subject:
        return replace(reason, code=ReasonCode.NETWORK_CERTIFICATE_CHAIN, name=issuer)
    if issuer:
        return replace(reason, detail=f"it is issued by {issuer}")
    return reason


def read_certificate(certificate: Mapping[str, Any], now: float) -> tuple[str, ...]:
    """Return issuer and end of a certificate as `ssl` decodes it; nothing of an empty one."""
    if not certificate:
        return ("the certificate is not verified",)
    facts = []
    issuer = _common_name(certificate.get("issuer", ()))
    if issuer:
        facts.append(f"certificate issued by {issuer}")
    end = certificate.get("notAfter")
    if isinstance(end, str):
        seconds = float(ssl.cert_time_to_seconds(end))
        left_s = seconds - now
        facts.append(
            f"valid {format_age(left_s)}" if left_s > 0 else f"expired at {format_time(seconds)}"
        )
    return tuple(facts)


def _names(certificates: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(_common_name(one.get("subject", ())) for one in certificates)


def _common_name(name: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return the common name, else the organization."""
    fields = {key: value for part in name for key, value in part}
    return fields.get("commonName", "") or fields.get("organizationName", "")
