"""Texts about cluster proxies. Pure."""

from __future__ import annotations

from tui_forward.model import AccessOptions, ProxyInfo, Target, TargetKind


def proxied_target(context: str, namespace: str, options: AccessOptions) -> Target:
    """Return what a proxy reaches, as a target: to ask before it starts in protected contexts."""
    return Target(
        context=context, options=options, namespace=namespace, kind=TargetKind.SERVICE, name="*",
        port="",
    )  # fmt: skip


def proxy_address(proxy: ProxyInfo) -> str:
    """Return where a proxy listens, IPv4 if there is one; its id before it listens."""
    found = sorted(proxy.listening, key=lambda one: ":" in one.host)
    return str(found[0]) if found else proxy.id


def proxy_url(proxy: ProxyInfo) -> str:
    """Return the URL of a proxy for `ALL_PROXY`: names are resolved in the cluster."""
    return f"socks5h://{proxy_address(proxy)}"
