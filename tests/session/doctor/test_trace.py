"""A trace has neither secrets nor addresses, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.session.doctor.chain_server import NAMESPACE, page, running_chain
from tests.session.doctor.diagnosis import diagnose, target, write_config
from tests.session.doctor.faults import certificate_user, secure_chain, web_token
from tui_forward import known_secrets
from tui_forward.session.doctor.trace import Trace

TOKEN = web_token(sub="jane")
SECRETS = {
    "token": TOKEN,
    "opaque token": "Zx8Qm2Lw9Rt4Vb7Nk1Pj",
    "password": "correct-horse-battery",
    "cookie": "session=8f2b7c1d9e3a4f5b6c7d8e9f0a1b2c3d4e5f",
    "key": "\n".join(
        (
            "-----BEGIN EC PRIVATE KEY-----",
            "MHcCAQEEIBkg4LVWM9nuwNSk3yByxZpY",
            "-----END EC PRIVATE KEY-----",
        )
    ),
    "AWS key": "AKIAIOSFODNN7EXAMPLE",
}
ADDRESSES = ("10.11.12.13", "2001:db8::17", "fe80::1%eth0", "api.corp.example", "jane@corp.example")
TEXTS = (
    "{}",
    "Authorization: Bearer {}",
    "token={} expired",
    "https://me:{}@proxy.corp.example:3128/x",
    'plugin printed {{"token": "{}"}}',
    "dial tcp {}: connect: connection refused",
    "x509: certificate is valid for a, not {}",
)


@pytest.fixture(autouse=True)
def remembered() -> Iterator[None]:
    known_secrets.remember(*SECRETS.values())
    yield
    known_secrets.forget_all()


def exported(trace: Trace, **facts: object) -> str:
    return json.dumps(trace.export(facts))


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("text", TEXTS)
def test_no_secret_in_any_field(text: str, secret: str) -> None:
    hidden = text.format(secret)
    trace = Trace()
    trace.record(hidden, key=hidden, nested={"list": [hidden], hidden: 1})
    trace.record_headers(
        hidden, hidden, [("Authorization", hidden), ("Date", hidden), ("X-Own", hidden)]
    )
    found = exported(trace, fact=hidden)
    for line in secret.splitlines():
        assert line.startswith("-----") or line not in found


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("text", TEXTS)
def test_no_address_in_any_field(text: str, address: str) -> None:
    hidden = text.format(address)
    trace = Trace()
    trace.add_hosts("api.corp.example", "proxy.corp.example", "10.11.12.13")
    trace.record(hidden, key=hidden, nested={"list": [hidden], hidden: 1})
    trace.record_headers(hidden, hidden, [("Server", hidden), ("Location", hidden)])
    found = exported(trace, fact=hidden)
    assert address not in found
    assert "corp.example" not in found


def test_the_same_address_has_the_same_placeholder() -> None:
    trace = Trace()
    trace.record("a", text="10.1.1.1 and 10.1.1.2", other="10.1.1.1, 127.0.0.1")
    (entry,) = trace.export({})["entries"]
    assert entry["text"] == "ipv4-1 and ipv4-2"
    assert entry["other"] == "ipv4-1, 127.0.0.1"  # loopback tells nothing about a user


def test_home_folder_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    trace = Trace()
    trace.record("read", path=f"{tmp_path}/.kube/config")
    assert trace.export({})["entries"][0]["path"] == "~/.kube/config"


def test_only_some_headers_are_shown() -> None:
    trace = Trace()
    trace.record_headers("answer", "200", [("Server", "nginx"), ("Set-Cookie", "a"), ("X-A", "b")])
    shown = dict(trace.export({})["entries"][0]["headers"])
    assert shown == {"Server": "nginx", "Set-Cookie": "[redacted]", "X-A": "[redacted]"}


def test_is_bounded() -> None:
    trace = Trace()
    for number in range(5000):
        trace.record(str(number))
    assert len(trace.export({})["entries"]) == 2000


async def test_trace_of_a_diagnosis(tmp_path: Path) -> None:
    trace = Trace()
    async with secure_chain(tmp_path, tokens=(TOKEN,)) as (server, cluster):
        server.upgrades["spdy"] = page(403, f"no {TOKEN} here", f"Set-Cookie: {SECRETS['cookie']}")
        path = write_config(tmp_path, server.url, user={"token": TOKEN}, cluster=cluster)
        await diagnose(path, target(), trace=trace)
    content = trace.export({"version": "1"})
    text = json.dumps(content)
    assert TOKEN not in text
    assert SECRETS["cookie"] not in text
    whats = [entry["what"] for entry in content["entries"]]
    assert {"request", "answer", "tls", "upgrade refused", "upgraded", "port", "result"} <= {*whats}
    heads = [entry["head"] for entry in content["entries"] if entry["what"] == "request"]
    assert heads[0] == "GET /version"
    assert f"GET /api/v1/namespaces/{NAMESPACE}/pods/web-1" in heads
    assert all("at_ms" in entry for entry in content["entries"])


async def test_no_key_of_a_client_certificate(tmp_path: Path) -> None:
    from tests.kube.certificates import Authority

    trace = Trace()
    pair = Authority("clients").issue("jane")
    async with secure_chain(tmp_path) as (server, cluster):
        path = write_config(tmp_path, server.url, user=certificate_user(pair), cluster=cluster)
        await diagnose(path, target(), trace=trace)
    text = json.dumps(trace.export({}))
    for line in pair.key.decode().splitlines()[1:-1]:
        assert line not in text


async def test_unencrypted_chain_has_no_tls_entry(tmp_path: Path) -> None:
    trace = Trace()
    async with running_chain() as server:
        await diagnose(write_config(tmp_path, server.url), trace=trace)
    assert "tls" not in {entry["what"] for entry in trace.export({})["entries"]}
