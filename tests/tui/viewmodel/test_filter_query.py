from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_forward.model import DeclaredPort
from tui_forward.tui.viewmodel.filter_query import BEST, fuzzy_score, parse_query


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

    def mentions(self, text: str) -> bool:
        return text in self.words


@pytest.mark.parametrize(
    "text",
    [
        "", "web", "WEB", "w6d8", "x2k", "shop", "node-a", "running", "8080", "http", '"shop/web"',
        "ns:shop", "ns:sh", "ns:s*p", "label:app", "label:app=web", "port:8080", "port:http",
        "node:node-a", "status:run", "kind:po", "kind:pods", "!api", "!ns:data", "web ns:shop !x9",
        "web !label:app=api", "!", "ns:", "!ns:", "label:app=", "LABEL:Tier=Front", "kind:p",
        "kind:PODS", "node:*-a", '!"api"', '"web-6', "webx2k", "port:HTTP",
    ],
)  # fmt: skip
def test_matches(text: str) -> None:
    assert parse_query(text).score(Thing()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "api", "wxyz", "ns:data", "ns:hop", "ns:*x", "label:app=api", "label:zone", "port:808",
        "port:80", "node:b", "status:crash", "kind:svc", "!web", "!ns:shop", "web api",
        '"shop/api"', "what:ever", "!port:http", "kind:s", "kind:deployments", '!"shop/web"',
        "label:zone=", "port:99999999999999999999",
    ],
)  # fmt: skip
def test_does_not_match(text: str) -> None:
    assert parse_query(text).score(Thing()) is None


def test_better_match_has_a_higher_score() -> None:
    names = ["web", "web-1", "my-web", "cobweb", "w-e-b"]
    score = fuzzy_score("web")
    assert score("cobweb-web") == score("my-web")
    scores = [score(name) for name in names]
    assert None not in scores
    assert scores == sorted(scores, key=lambda found: -(found or 0))
    assert len(set(scores)) == len(scores)


def test_scattered_letters_do_not_match() -> None:
    assert fuzzy_score("abc")("xaxxbxxc") is None
    assert fuzzy_score("pgw")("pay-gateway") is not None
    assert fuzzy_score("paygw")("pay-gateway") is not None


def test_adversarial_name_is_searched_quickly() -> None:
    assert fuzzy_score("a" * 20 + "b")("a" * 253) is None
    assert fuzzy_score("ab" * 20 + "c")("ab-" * 80) is None


def test_adversarial_word_is_searched_quickly() -> None:
    for letters in ("a" * 20, "ab" * 20, ".*" * 20, "a]" * 500):
        assert parse_query(f"{letters}c").score(Thing(title="a" * 253, words="")) is None


def test_scores_stay_below_the_best() -> None:
    assert parse_query("web " * 50).score(Thing(title="web")) == BEST


def possible(word: str, name: str, at: int = -1, gaps: int = 0) -> bool:
    """By trying everything: at most one gap that is not before the beginning of a part."""
    if not word:
        return True
    for place in range(at + 1, len(name)):
        if name[place] == word[0]:
            gap = at >= 0 and place != at + 1 and name[place - 1].isalnum()
            if gaps + gap <= 1 and possible(word[1:], name, place, gaps + gap):
                return True
    return False


NAMES = st.text(alphabet="abc-", min_size=1, max_size=14)
WORDS = st.text(alphabet="abc-", min_size=1, max_size=5)


@settings(max_examples=300)
@given(NAMES, WORDS)
def test_fuzzy_score_finds_the_best_alignment(name: str, word: str) -> None:
    assert (fuzzy_score(word)(name) is not None) == possible(word, name)


@settings(max_examples=300)
@given(NAMES, st.text(alphabet="abc-]\\^.", min_size=1, max_size=18))
def test_word_scores_like_its_letters(name: str, word: str) -> None:
    assert parse_query(word).score(Thing(title=name, words="")) == fuzzy_score(word)(name)


@settings(max_examples=300)
@given(NAMES, WORDS)
def test_spans_are_the_typed_letters(name: str, word: str) -> None:
    spans = parse_query(word).spans(name)
    assert bool(spans) == (fuzzy_score(word)(name) is not None)
    if spans:
        assert "".join(name[start:end] for start, end in spans) == word
    assert all(a[1] < b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("text", "name", "marked"),
    [
        ("web", "cobweb-WEB-1", "WEB"),
        ("web 1", "web-1", "web1"),
        ("eb w", "web-1", "web"),
        ('"b-1"', "web-1", "b-1"),
        ('"wb1"', "web-1", ""),
        ("!web ns:shop port:1", "web-1", ""),
        ("pgw", "pay-gateway", "pgw"),
        ("webx2k", "web-6dxc-x2k", "webx2k"),
        ("web", "İweb", ""),
        ("", "web", ""),
    ],
)
def test_spans(text: str, name: str, marked: str) -> None:
    spans = parse_query(text).spans(name)
    assert "".join(name[start:end] for start, end in spans) == marked
    if text == "webx2k":
        assert spans == ((0, 3), (9, 12))


texts = st.text(alphabet='webapi-1:!"*\t nsportlabelkind=', max_size=14)


@given(texts)
def test_never_fails(text: str) -> None:
    parse_query(text).score(Thing())


@given(st.text(alphabet="abc-", min_size=1, max_size=12), st.text("abc-", min_size=1, max_size=5))
def test_longer_word_matches_a_subset(name: str, word: str) -> None:
    for end in range(1, len(word)):
        if fuzzy_score(word)(name) is not None:
            assert fuzzy_score(word[:end])(name) is not None


@settings(max_examples=300)
@given(texts, st.text(alphabet='webapi-1:!"*\t nsport', max_size=4), st.data())
def test_narrower_query_matches_a_subset(text: str, more: str, data: st.DataObject) -> None:
    before, after = parse_query(text), parse_query(text + more)
    name = data.draw(st.sampled_from(["web-1", "api", "pay-gateway", "w"]))
    thing = Thing(title=name, words=name, namespace=data.draw(st.sampled_from(["shop", "web"])))
    if after.is_narrower_than(before) and after.score(thing) is not None:
        assert before.score(thing) is not None


def test_adjacent_letters_score_higher() -> None:
    near, far, further = (
        fuzzy_score("wb")(name) for name in ("web", "legacy-9z65wlhnvt-b6sg5", "gateway-8z-kbh")
    )
    assert near is not None
    assert far is not None
    assert further is not None
    assert near > far > further
