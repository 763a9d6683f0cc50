from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.viewmodel.test_rows import forward
from tui_forward.model import AccessOptions, Context, Forward
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.context_names import ContextNaming, UsedContext

ARN = "arn:aws:eks:eu-west-1:1111:cluster/{}"
GKE = "gke_acme_europe-west1_{}"
PLAIN = ContextNaming()


def used(*contexts: str) -> list[UsedContext]:
    return [UsedContext(context) for context in contexts]


def knowing(*contexts: str, protected: str = "") -> ContextNaming:
    """Return how contexts are named with these in the kubeconfig."""
    known = [Context(name=name, cluster="c", insecure=name == "lab") for name in contexts]
    return ContextNaming(ProtectedContexts([protected] if protected else (), known))


def forward_in(context: str, *, options: AccessOptions | None = None, insecure: bool) -> Forward:
    one = forward()
    target = msgspec.structs.replace(
        one.spec.target, context=context, options=options or AccessOptions()
    )
    spec = msgspec.structs.replace(one.spec, target=target)
    return msgspec.structs.replace(one, spec=spec, insecure=insecure)


def test_contexts_are_short_while_they_are_unique() -> None:
    names = PLAIN.names(used(ARN.format("prod"), GKE.format("dev"), "kind"))
    assert sorted(names.texts) == ["dev", "kind", "prod"]
    same = [ARN.format("prod"), GKE.format("prod")]
    assert sorted(PLAIN.names(used(*same)).texts) == sorted(same)
    assert PLAIN.name("a/") == "a/"
    assert PLAIN.name("") == ""


def test_a_context_of_the_kubeconfig_that_is_not_shown_counts() -> None:
    naming = knowing(ARN.format("prod"), GKE.format("prod"), GKE.format("dev"))
    assert naming.name(ARN.format("prod")) == ARN.format("prod")
    assert naming.name(GKE.format("dev")) == "dev"
    assert naming.name("new/prod") == "new/prod"  # of a forward, gone from the kubeconfig


def test_protected_contexts_are_marked() -> None:
    naming = knowing(protected="*prod")
    prod, kind = used(ARN.format("prod"), "kind")
    names = naming.names([prod, kind])
    assert names.has_protected
    assert names.cell(prod).text == "prod!"
    assert names.cell(kind).style == "dim"
    insecure = AccessOptions(insecure=True)
    assert naming.name(ARN.format("prod"), insecure) == "prod! insecure"
    assert naming.full_name(prod) == f"{ARN.format('prod')}!"


def test_options_that_name_a_protected_cluster_count() -> None:
    naming = knowing(protected="*prod")
    options = AccessOptions(cluster="eu-prod")
    assert naming.name("dev", options) == "dev!"
    one = forward_in("dev", options=options, insecure=False)
    assert naming.name_of([one]) == "dev!"
    assert naming.protected_names([one.spec.target]) == ("dev!",)


def test_a_server_that_is_not_verified_is_marked_whoever_knows_it() -> None:
    """The kubeconfig tells it before the first request, and the forward what it really does."""
    naming = knowing("lab", "dev")
    assert naming.name("lab") == "lab insecure"
    secure, insecure = (forward_in("dev", insecure=one) for one in (False, True))
    assert naming.name_of([secure]) == "dev"
    assert naming.name_of([secure, insecure]) == "dev insecure"
    assert naming.full_name(UsedContext("dev", is_insecure=True)) == "dev insecure"


PARTS = st.sampled_from(["a", "b", "/", "_", "a/b", "\u202e", "!", " "])
CONTEXTS = st.lists(PARTS, max_size=6).map("".join)


@given(st.frozensets(CONTEXTS, max_size=8), st.frozensets(CONTEXTS, max_size=8))
def test_names_stay_distinguishable(known: frozenset[str], shown: frozenset[str]) -> None:
    names = knowing(*known).names(used(*shown))
    texts = [names.cell(UsedContext(context)).text for context in shown]
    assert len(set(texts)) == len(shown)
    for context, text in zip(shown, texts, strict=True):
        assert context.endswith(text)
