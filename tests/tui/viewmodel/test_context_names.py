from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui_forward.tui.viewmodel.context_names import ContextNaming

ARN = "arn:aws:eks:eu-west-1:1111:cluster/{}"
GKE = "gke_acme_europe-west1_{}"
PLAIN = ContextNaming()


def secure(*contexts: str) -> list[tuple[str, bool]]:
    return [(context, False) for context in contexts]


def test_contexts_are_short_while_they_are_unique() -> None:
    names = PLAIN.names(secure(ARN.format("prod"), GKE.format("dev"), "kind"))
    assert sorted(names.texts) == ["dev", "kind", "prod"]
    same = [ARN.format("prod"), GKE.format("prod")]
    assert sorted(PLAIN.names(secure(*same)).texts) == sorted(same)
    assert PLAIN.name("a/") == "a/"
    assert PLAIN.name("") == ""


def test_a_context_of_the_kubeconfig_that_is_not_shown_counts() -> None:
    naming = ContextNaming(frozenset({ARN.format("prod"), GKE.format("prod"), GKE.format("dev")}))
    assert naming.name(ARN.format("prod")) == ARN.format("prod")
    assert naming.name(GKE.format("dev")) == "dev"
    assert naming.name("new/prod") == "new/prod"  # of a forward, gone from the kubeconfig


def test_protected_contexts_are_marked() -> None:
    def is_production(context: str) -> bool:
        return "prod" in context

    naming = ContextNaming(is_protected=is_production)
    names = naming.names(secure(ARN.format("prod"), "kind"))
    assert names.has_protected
    assert names.cell(ARN.format("prod")).text == "prod!"
    assert names.cell("kind").style == "dim"
    assert naming.name(ARN.format("prod"), is_insecure=True) == "prod! insecure"
    assert naming.full_name(ARN.format("prod")) == f"{ARN.format('prod')}!"


PARTS = st.sampled_from(["a", "b", "/", "_", "a/b", "\u202e", "!", " "])
CONTEXTS = st.lists(PARTS, max_size=6).map("".join)


@given(st.frozensets(CONTEXTS, max_size=8), st.frozensets(CONTEXTS, max_size=8))
def test_names_stay_distinguishable(known: frozenset[str], shown: frozenset[str]) -> None:
    names = ContextNaming(known).names(secure(*shown))
    texts = [names.cell(context).text for context in shown]
    assert len(set(texts)) == len(shown)
    assert all(context.endswith(names.cell(context).text) for context in shown)
