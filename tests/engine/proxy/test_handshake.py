"""What a client may say first, and which requests are answered."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.proxy.handshake import ClientHandshake
from tui_forward.engine.proxy.policy import Credentials
from tui_forward.engine.proxy.requests import Destination, RequestRules
from tui_forward.model import Reason, ReasonCode

PORT = 1080
REFUSED = Reason(code=ReasonCode.PORT_REFUSED, pod="web-1", port="80")
LATE = Reason(code=ReasonCode.CONNECTION_QUEUE_TIMEOUT, timeout_s=30.0)
FORBIDDEN = Reason(code=ReasonCode.RBAC_FORBIDDEN)
ALICE = Credentials(b"alice", b"secret")


def handshake(data: bytes, credentials: Credentials | None = None) -> ClientHandshake:
    one = ClientHandshake(RequestRules(PORT, credentials))
    one.receive_data(data)
    return one


def request(
    target: str = "/", host: str | None = "web.shop.localhost:1080", *fields: str,
    method: str = "GET", body: bytes = b"",
) -> bytes:  # fmt: skip
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"Host: {host}"] if host is not None else []
    return "\r\n".join((*lines, *fields, "", "")).encode() + body


def status(one: ClientHandshake) -> int:
    return int(one.data_to_send().split()[1])


SOCKS = b"\x05\x01\x00" + b"\x05\x01\x00\x03\x08web.shop\x00\x50"


def test_socks() -> None:
    one = handshake(SOCKS + b"early")
    assert one.destination == Destination("web.shop", "80")
    assert one.first_data == b"early"
    # Both answers are sent at once.
    assert one.data_to_send() == b""
    assert one.opened()[:4] == b"\x05\x00\x05\x00"
    assert one.failed(REFUSED) == b""  # it is too late to tell


def test_socks_of_a_client_that_waits() -> None:
    one = handshake(SOCKS[:3])
    assert one.data_to_send() == b"\x05\x00"
    one.receive_data(SOCKS[3:])
    assert one.data_to_send() == b""
    assert one.failed(REFUSED)[:2] == b"\x05\x05"
    assert one.failed(FORBIDDEN)[:2] == b"\x05\x02"
    assert one.opened()[:2] == b"\x05\x00"


def test_connect() -> None:
    one = handshake(request("web.shop:443", "web.shop:443", method="CONNECT", body=b"\x16\x03"))
    assert one.destination == Destination("web.shop", "443")
    assert one.first_data == b"\x16\x03"
    assert one.request_filter is None
    assert one.failed(LATE).startswith(b"HTTP/1.1 504 ")
    assert one.opened().startswith(b"HTTP/1.1 200 ")
    assert one.failed(REFUSED) == b""


def test_absolute_form() -> None:
    one = handshake(request("http://web.shop/a?b", "web.shop", "Accept: */*"))
    assert one.destination == Destination("web.shop", "80")
    assert one.first_data == (
        b"GET /a?b HTTP/1.1\r\nHost: web.shop\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    assert one.opened() == b""
    page = one.failed(REFUSED)
    assert page.startswith(b"HTTP/1.1 502 ")
    for part in (b"nothing listens on port 80", b"port in the pod", b"Fix: ", b"port.refused"):
        assert part in page


def test_localhost() -> None:
    data = request("/a", "Web.Shop.Localhost:1080", "Connection: keep-alive")
    one = handshake(data)
    assert one.destination == Destination("web.shop", "", is_localhost=True)
    assert one.first_data == data  # the host stays as it was sent


def test_localhost_with_a_port() -> None:
    one = handshake(request("/", "web.shop.8080.localhost:1080"))
    assert one.destination == Destination("web.shop", "8080", is_localhost=True)
    assert str(one.destination) == "web.shop.8080.localhost"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web.shop.localhost:1080", "web.shop"),
        ("WEB.shop.localhost:1080", "web.shop"),
        ("web.shop.8080.localhost:1080", "web.shop:8080"),
        ("web.shop.80.localhost:1080", "web.shop"),
        ("web.shop.metrics.localhost:1080", "web.shop"),
        ("db-0.db.data.svc.localhost:1080", "db-0.db.data.svc"),
    ],
)
def test_host_without_the_suffix(host: str, expected: str) -> None:
    fields = ("Sec-Fetch-Site: same-origin", f"Origin: http://{host}", "Referer: http://x/")
    one = ClientHandshake(RequestRules(PORT, None, strips_suffix=True))
    one.receive_data(request("/a", host, *fields, method="POST"))
    sent = one.first_data.decode()
    assert f"\r\nHost: {expected}\r\n" in sent
    assert f"\r\nOrigin: http://{expected}\r\n" in sent
    assert "Referer: http://x/" in sent
    # Each later request, too; and a client that uses the proxy for its own names.
    assert one.request_filter is not None
    later = b"".join(one.request_filter.receive_data(request("/b", host)))
    assert f"Host: {expected}\r\n".encode() in later
    absolute = ClientHandshake(RequestRules(PORT, None, strips_suffix=True))
    absolute.receive_data(request(f"http://{host}/x", host))
    assert f"Host: {expected}\r\n".encode() in absolute.first_data


def test_rules_are_those_of_the_host_that_was_sent() -> None:
    """Whether or not the suffix is stripped."""
    for fields, expected in (
        (("Sec-Fetch-Site: cross-site",), 403),
        (("Origin: http://web.shop",), 403),
        (("Origin: http://web.shop.localhost:1081",), 403),
    ):
        for strips_suffix in (False, True):
            one = ClientHandshake(RequestRules(PORT, None, strips_suffix=strips_suffix))
            one.receive_data(request("/", "web.shop.localhost:1080", *fields))
            assert status(one) == expected
    one = ClientHandshake(RequestRules(PORT, None, strips_suffix=True))
    one.receive_data(request("/", "web.shop"))
    assert status(one) == 403, "a name that this proxy has not given"


def test_names_of_the_cluster_are_sent_as_they_are() -> None:
    one = ClientHandshake(RequestRules(PORT, None, strips_suffix=True))
    one.receive_data(request("http://web.shop:8080/x", "web.shop:8080"))
    assert b"Host: web.shop:8080\r\n" in one.first_data


def test_the_proxy_as_the_proxy_of_its_own_names() -> None:
    one = handshake(request("http://web.shop.localhost:1080/a", "web.shop.localhost:1080"))
    assert one.destination == Destination("web.shop", "", is_localhost=True)
    assert one.first_data.startswith(b"GET /a HTTP/1.1\r\n")


def test_pac() -> None:
    for host in ("localhost:1080", "127.0.0.1:1080", "[::1]:1080"):
        assert handshake(request("/proxy.pac", host)).wants_pac


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # DNS rebinding, and ports of others
        (request("/", "evil.example:1080"), 403),
        (request("/", "evil.example"), 403),
        (request("/", "web.shop.localhost"), 403),
        (request("/", "web.shop.localhost:8080"), 403),
        (request("/", "web.shop.localhost.evil.example:1080"), 403),
        (request("/", "a.b.c.d.localhost:1080"), 403),
        (request("/", None), 400),
        (request("/", ""), 400),
        (request("/", "web.shop.localhost:1080", "Host: web.shop.localhost:1080"), 400),
        # pages of other origins
        (request("/", "web.shop.localhost:1080", "Sec-Fetch-Site: cross-site"), 403),
        (request("/", "web.shop.localhost:1080", "Sec-Fetch-Site: same-site"), 403),
        (request("/", "web.shop.localhost:1080", "Sec-Fetch-Site: nonsense"), 403),
        (request("/", "web.shop.localhost:1080", "Origin: http://evil.example"), 403),
        (request("/", "web.shop.localhost:1080", "Origin: null"), 403),
        (request("/", "web.shop.localhost:1080", "Origin: http://localhost:1080"), 403),
        (request("/proxy.pac", "localhost:1080", "Sec-Fetch-Site: cross-site"), 403),
        (request("http://web.shop/", "web.shop", "Origin: http://evil.example"), 403),
        (request("http://web.shop/", "web.shop", "Sec-Fetch-Site: cross-site"), 403),
        # nothing of ours
        (request("/", "localhost:1080"), 404),
        (request("/proxy.pac", "localhost:1080", method="POST"), 404),
        (request("localhost:1080", method="CONNECT"), 400),
        (request("web", method="CONNECT"), 400),
        (request("https://web.shop/", "web.shop"), 400),
        (request("http://a@web.shop/", "web.shop"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42\r\n\r\n", 400),
    ],
)
def test_refused_requests(data: bytes, expected: int) -> None:
    one = handshake(data)
    assert one.is_over
    assert one.refusal
    assert status(one) == expected
    assert one.destination is None


@pytest.mark.parametrize(
    "fields",
    [
        ("Sec-Fetch-Site: none",),
        ("Sec-Fetch-Site: same-origin",),
        ("Sec-Fetch-Site: same-origin", "Origin: http://web.shop.localhost:1080"),
        ("Origin: http://web.shop.localhost:1080",),
        (),
    ],
)
def test_requests_of_the_user_and_of_the_same_page(fields: tuple[str, ...]) -> None:
    assert handshake(request("/", "web.shop.localhost:1080", *fields)).destination is not None


def test_a_page_shows_names_as_text() -> None:
    one = handshake(request("http://web.shop/", "web.shop"))
    page = one.failed(Reason(code=ReasonCode.PROXY_NAME_UNKNOWN, name="<script>x</script>"))
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page


# Later requests of the same connection ----------------------------------------------------


def pass_on(one: ClientHandshake, data: bytes) -> bytes:
    assert one.request_filter is not None
    return b"".join(map(bytes, one.request_filter.receive_data(data)))


def test_each_request_of_a_connection_is_checked() -> None:
    first = request("/a", "web.shop.localhost:1080", "Content-Length: 4", method="POST")
    one = handshake(first + b"bo")
    assert one.first_data == first
    assert pass_on(one, b"") == b"bo"
    second = request("/b", "web.shop.localhost:1080", "Sec-Fetch-Site: same-origin")
    assert pass_on(one, b"dy" + second[:10]) == b"dy"
    assert pass_on(one, second[10:]) == second
    assert one.request_filter is not None
    assert not one.request_filter.refusal
    third = request("/c", "web.shop.localhost:1080", "Sec-Fetch-Site: cross-site")
    assert pass_on(one, second + third + second) == second
    assert one.request_filter.refusal.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("/", "other.shop.localhost:1080"), b"421"),
        (request("/", "evil.example:1080"), b"403"),
        (request("web.shop:80", "web.shop", method="CONNECT"), b"421"),
        (request("http://web.shop/", "web.shop"), b"421"),
        (request("/proxy.pac", "localhost:1080"), b"421"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_a_connection_leads_to_one_host(data: bytes, expected: bytes) -> None:
    one = handshake(request())
    assert pass_on(one, data) == b""
    assert one.request_filter is not None
    assert one.request_filter.refusal.split()[1] == expected


def test_requests_in_absolute_form_to_the_same_host() -> None:
    one = handshake(request("http://web.shop/a", "web.shop"))
    again = pass_on(one, request("http://web.shop/b", "web.shop"))
    assert again == b"GET /b HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n"


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


def test_after_an_upgrade_everything_is_passed_on() -> None:
    one = handshake(request("/ws", "web.shop.localhost:1080", *UPGRADE) + b"\x81\x00")
    assert one.request_filter is not None
    assert one.request_filter.awaits_answer
    assert pass_on(one, b"\x82\x00") == b""
    answer = [memoryview(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")]
    held = b"".join(map(bytes, one.request_filter.receive_answer(answer)))
    assert held == b"\x81\x00\x82\x00"
    assert one.request_filter.passes_all
    assert pass_on(one, b"anything") == b"anything"


def test_after_a_refused_upgrade_requests_are_checked() -> None:
    one = handshake(request("/ws", "web.shop.localhost:1080", *UPGRADE))
    assert one.request_filter is not None
    answer = [memoryview(b"HTTP/1.1 "), memoryview(b"200 OK\r\n\r\n")]
    assert list(one.request_filter.receive_answer(answer)) == []
    assert not one.request_filter.passes_all
    assert pass_on(one, request("/", "evil.example:1080")) == b""
    assert one.request_filter.refusal


def test_a_later_request_cannot_upgrade() -> None:
    one = handshake(request())
    passed = pass_on(one, request("/ws", "web.shop.localhost:1080", *UPGRADE))
    assert b"pgrade" not in passed
    assert one.request_filter is not None
    assert not one.request_filter.needs_answer


# Login ------------------------------------------------------------------------------------


def basic(user: bytes, password: bytes) -> str:
    return f"Proxy-Authorization: Basic {base64.b64encode(user + b':' + password).decode()}"


def test_login() -> None:
    field = basic(b"alice", b"secret")
    one = handshake(request("http://web.shop/", "web.shop", field), ALICE)
    assert one.destination is not None
    assert b"Authorization" not in one.first_data
    tunnel = request("web.shop:443", "web.shop:443", field, method="CONNECT")
    assert handshake(tunnel, ALICE).destination is not None
    login = b"\x05\x01\x02" + b"\x01\x05alice\x06secret" + SOCKS[3:]
    assert handshake(login, ALICE).destination is not None


@pytest.mark.parametrize(
    "field", ["A: b", basic(b"alice", b"x"), basic(b"", b""), "Proxy-Authorization: Basic é"]
)
def test_without_login(field: str) -> None:
    one = handshake(request("http://web.shop/", "web.shop", field), ALICE)
    output = one.data_to_send()
    assert output.startswith(b"HTTP/1.1 407 ")
    assert b"\r\nProxy-Authenticate: Basic " in output
    assert one.is_over
    one = handshake(request("web.shop:443", "web.shop", field, method="CONNECT"), ALICE)
    assert one.data_to_send().startswith(b"HTTP/1.1 407 ")
    assert handshake(SOCKS, ALICE).is_over
    assert handshake(request(), ALICE).is_over


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_garbage_ends_or_waits(chunks: list[bytes]) -> None:
    one = ClientHandshake(RequestRules(PORT, None))
    for chunk in chunks:
        if one.destination or one.wants_pac or one.is_over:
            break
        one.receive_data(chunk)
        one.data_to_send()
    assert bool(one.destination) + one.wants_pac + one.is_over <= 1
