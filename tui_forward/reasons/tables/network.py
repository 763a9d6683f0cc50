"""Reasons of the network between this machine and the API server."""

from __future__ import annotations

from typing import Final

from tui_forward.model import HopKind, ReasonCode
from tui_forward.reasons.entry import RETRIED, Entry

_NETWORK_HINT: Final = "Check the network and VPN, and `server` in the kubeconfig"
_CLOCK_HINT: Final = "Check the clock of this machine, then renew the server's certificate"
_VIA: Final = "[ through the proxy {proxy}]"
_PROXY: Final = "[the proxy {proxy}|the proxy]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.NETWORK_ERROR: Entry(
        "API server unreachable",
        "[{server}|the API server] cannot be reached" + _VIA + "[: {detail}]",
        _NETWORK_HINT,
        HopKind.API,
    ),
    ReasonCode.NETWORK_DNS: Entry(
        "API server name not resolved",
        "the name of [{server}|the API server] cannot be resolved" + _VIA + "[: {detail}]",
        _NETWORK_HINT,
        HopKind.API,
    ),
    ReasonCode.NETWORK_DNS_SHORT_NAME: Entry(
        "API server name not resolved",
        "the name of [{server}|the API server] has no domain, and none of this network completes it"
        "[ (search domains: {detail})]",
        "Connect the network or VPN that has this name, or write the whole name in `server`",
        HopKind.API,
    ),
    ReasonCode.NETWORK_DNS_NO_ANSWER: Entry(
        "name server does not answer",
        "no name server answers for [{server}|the API server][: {detail}]",
        "Check the network and VPN, and the name servers in /etc/resolv.conf",
        HopKind.API,
    ),
    ReasonCode.NETWORK_DNS_SLOW: Entry(
        "slow name server",
        "the name of [{server}|the API server] took [{timeout_s} s|long] to resolve",
        "Check the name servers in /etc/resolv.conf: the first of them may not answer",
        HopKind.API,
    ),
    ReasonCode.NETWORK_REFUSED: Entry(
        "API server refuses connecting",
        "[{server}|the API server] refuses connections" + _VIA,
        "Check that it runs, and that `server` in the kubeconfig is right",
        HopKind.API,
    ),
    ReasonCode.NETWORK_TIMEOUT: Entry(
        "API server does not answer",
        "[{server}|the API server] does not answer" + _VIA + "[ within {timeout_s} s]",
        "Check the network (VPN, firewall?) and `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.NETWORK_TLS_TIMEOUT: Entry(
        "no answer to TLS handshake",
        "[{server}|the API server] accepts connections"
        + _VIA
        + ", but does not answer the TLS handshake[ within {timeout_s} s]",
        "Check that it is not overloaded or stopped, and `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.NETWORK_UNREACHABLE: Entry(
        "no route to the API server",
        "no route to [{server}|the API server]" + _VIA + "[: {detail}]",
        "Check the network and VPN",
        HopKind.API,
    ),
    ReasonCode.NETWORK_RESET: Entry(
        "API connection broke",
        "the connection to [{server}|the API server] broke" + _VIA + "[: {detail}]",
        "Check the network and VPN",
        HopKind.API,
        automatic=RETRIED,
    ),
    ReasonCode.NETWORK_TLS: Entry(
        "TLS handshake failed",
        "TLS with [{server}|the API server] failed[: {detail}]",
        "Check `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.NETWORK_TLS_VERSION: Entry(
        "no common TLS version",
        "[{server}|the API server] supports no version of TLS that is used here"
        "[ (TLS 1.2 and later): {detail}| (TLS 1.2 and later)]",
        "Update what terminates TLS there, or connect to the API server itself",
        HopKind.API,
    ),
    ReasonCode.NETWORK_TLS_INTERCEPTED: Entry(
        "TLS is intercepted",
        "a proxy terminates TLS on the way to [{server}|the API server]: "
        "its certificate is issued by [{name}|another authority]",
        "Ask its operator to except the API server, or add this authority to "
        "certificate-authority in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.NETWORK_TLS_CLOSED: Entry(
        "TLS handshake was closed",
        "[{server}|the server] closed the connection during the TLS handshake",
        "Check that the address and the port are those of a TLS server, "
        "and whether `server` in the kubeconfig should begin with http://",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CLOSED: Entry(
        "API server closed connection",
        "[{server}|the server] closed the connection without an answer",
        "Check `server` in the kubeconfig, and proxies in between",
        HopKind.API,
    ),
    ReasonCode.NETWORK_NOT_TLS: Entry(
        "API server does not use TLS",
        "[{server}|the API server] does not support TLS on this port",
        "Check whether `server` in the kubeconfig should begin with http://",
        HopKind.API,
    ),
    ReasonCode.NETWORK_NOT_HTTP: Entry(
        "API server expects https://",
        "[{server}|the API server] expects TLS, but `server` in the kubeconfig begins with http://",
        "Begin `server` in the kubeconfig with https://",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE: Entry(
        "server cert is not trusted",
        "the certificate of [{server}|the API server] is not trusted[: {detail}]",
        "Set certificate-authority in the kubeconfig to the authority that signed it "
        "(a proxy that terminates TLS needs its own authority there)",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_CHAIN: Entry(
        "server cert chain is partial",
        "[{server}|the server] sends its certificate without that of [{name}|its issuer], "
        "which is not in certificate-authority",
        "Get the kubeconfig of the cluster again; if [{name}|the issuer] is an intermediate "
        "authority, add its certificate to the chain of the server or to certificate-authority",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_REPLACED: Entry(
        "another cluster at address",
        "the certificate of [{server}|the API server] is issued by another authority of the same "
        "name[ ({name})] as the one in the kubeconfig: the cluster was created again, "
        "or it is another one",
        "Get the kubeconfig of the cluster again",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_NAME: Entry(
        "server cert has another name",
        "the certificate of the server is not for [{server}|the name in the kubeconfig]"
        "[: {detail}]",
        "Set tls-server-name in the kubeconfig to a name in the certificate, "
        "or use an address that is in it",
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_EXPIRED: Entry(
        "server certificate expired",
        "the certificate of [{server}|the API server] has expired",
        _CLOCK_HINT,
        HopKind.API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_NOT_YET_VALID: Entry(
        "server cert is not valid yet",
        "the certificate of [{server}|the API server] is not valid yet",
        _CLOCK_HINT,
        HopKind.API,
    ),
    ReasonCode.NETWORK_CLIENT_CERTIFICATE: Entry(
        "client certificate refused",
        "[{server}|the API server] refused the client certificate[: {detail}]",
        "Log in again, or renew the client certificate in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_NOT_HTTP: Entry(
        "proxy does not speak HTTP",
        "unexpected data from the proxy[ {proxy}][: {detail}]",
        "Check the scheme and the port of the proxy URL",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_UNREACHABLE: Entry(
        "proxy unreachable",
        _PROXY + " cannot be reached[: {detail}]",
        "Check that the proxy runs, and proxy-url in the kubeconfig or HTTPS_PROXY",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_TIMEOUT: Entry(
        "proxy does not answer",
        _PROXY + " does not answer the request to connect to [{server}|the API server]"
        "[ within {timeout_s} s]",
        "Check the proxy, and whether it can reach that address",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_CLOSED: Entry(
        "proxy closed the connection",
        _PROXY + " closed the connection without an answer",
        "Check that proxy-url names a proxy, and its port",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_REFUSED: Entry(
        "proxy refuses the connection",
        _PROXY + " does not allow connections to [{server}|the API server][: {detail}]",
        "Ask its operator to allow them, or except the address: NO_PROXY, or no proxy-url",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_FAILED: Entry(
        "proxy cannot reach API server",
        _PROXY + " cannot reach [{server}|the API server][: {detail}]",
        "Check `server` in the kubeconfig, and the network behind the proxy",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROXY_AUTH: Entry(
        "proxy wants a password (407)",
        _PROXY + " requires a user and a password, or does not accept them (407)",
        "Put them into the proxy URL: http://user:password@host:port",
        HopKind.API,
    ),
    ReasonCode.NETWORK_PROTOCOL: Entry(
        "unexpected data from server",
        "unexpected data from [{server}|the API server][: {detail}]",
        "Check `server` in the kubeconfig, and proxies in between",
        HopKind.API,
    ),
}
