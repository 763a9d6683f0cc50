from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.model import DeclaredPort
from tui_forward.tui.browse.query import fuzzy, parse


@dataclass
class Thing:
    title: str = "web-6d8c9-x2k"
    words: str = "shop/web-6d8c9-x2k pod running node-a web http 8080"
    namespace: str = "shop"
    kind: str = "pod"
    node: str = "node-a"
    status: str = "running"
    labels: dict[str, str] = field(default_factory=lambda: {"app": "Web", "tier": "front"})
    ports: tuple[DeclaredPort, ...] = (DeclaredPort(number=8080, name="http"),)


@pytest.mark.parametrize(
    "text",
    [
        "", "web", "WEB", "w6d8", "x2k", "shop", "node-a", "running", "8080", "http", '"shop/web"',
        "ns:shop", "ns:sh", "ns:s*p", "label:app", "label:app=web", "port:8080", "port:http",
        "node:node-a", "status:run", "kind:po", "kind:pods", "!api", "!ns:data", "web ns:shop !x9",
        "web !label:app=api", "!", "ns:", "!ns:",
    ],
)  # fmt: skip
def test_matches(text: str) -> None:
    assert parse(text).score(Thing()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "api", "wxyz", "ns:data", "ns:hop", "ns:*x", "label:app=api", "label:zone", "port:808",
        "port:80", "node:b", "status:crash", "kind:svc", "!web", "!ns:shop", "web api",
        '"shop/api"', "what:ever", "!port:http",
    ],
)  # fmt: skip
def test_does_not_match(text: str) -> None:
    assert parse(text).score(Thing()) is None


def test_the_better_match_counts_more() -> None:
    names = ["web", "web-1", "my-web", "cobweb", "w-e-b"]
    score = fuzzy("web")
    scores = [score(name) for name in names]
    assert None not in scores
    assert scores == sorted(scores, key=lambda found: -(found or 0))
    assert len(set(scores)) == len(scores)


def test_letters_strewn_over_a_name_are_no_match() -> None:
    assert fuzzy("abc")("xaxxbxxc") is None
    assert fuzzy("pgw")("pay-gateway") is not None
    assert fuzzy("paygw")("pay-gateway") is not None


texts = st.text(alphabet='webapi-1:!"* nsportlabel=', max_size=14)


@given(texts)
def test_never_fails(text: str) -> None:
    parse(text).score(Thing())


@given(st.text(alphabet="abc-", min_size=1, max_size=12), st.text("abc-", min_size=1, max_size=5))
def test_a_longer_word_matches_no_more(name: str, word: str) -> None:
    for end in range(1, len(word)):
        if fuzzy(word)(name) is not None:
            assert fuzzy(word[:end])(name) is not None


@given(texts, st.text(alphabet='webapi-1:!"* nsport', max_size=4), st.data())
def test_what_narrows_matches_no_more(text: str, more: str, data: st.DataObject) -> None:
    before, after = parse(text), parse(text + more)
    name = data.draw(st.sampled_from(["web-1", "api", "pay-gateway", "w"]))
    thing = Thing(title=name, words=name, namespace=data.draw(st.sampled_from(["shop", "web"])))
    if after.narrows(before) and after.score(thing) is not None:
        assert before.score(thing) is not None
