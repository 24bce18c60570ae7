"""The pruned search against scoring everything, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop import ranking
from agentrl.environments.webshop.bm25 import idf
from agentrl.environments.webshop.ranking import Postings, Term

Query = tuple[Postings, list[Term]]


def make(seed: int, documents: int, shares: list[float], values: int) -> Query:
    """Return random postings: few values of impact make many ties."""
    rng = np.random.default_rng(seed)
    ratios = np.sort(rng.choice(np.linspace(0.1, 9, 97), values, replace=False)).astype(np.float32)
    lists, impacts, terms, end = [], [], [], 0
    for share in shares:
        held = np.flatnonzero(rng.random(documents) < share).astype(np.int32)
        if not len(held):
            continue
        impact = rng.integers(0, values, len(held)).astype(np.uint8)
        weight = np.float32(rng.integers(1, 3)) * idf(documents, len(held))
        terms.append(Term(end, end + len(held), weight, int(impact.max())))
        lists.append(held)
        impacts.append(impact)
        end += len(held)
    ranks = rng.permutation(documents).astype(np.int32)
    empty = np.empty(0, np.int32)
    joined = np.concatenate([empty, *lists]), np.concatenate([empty.astype(np.uint8), *impacts])
    return Postings(*joined, ratios, ranks), terms


def by_brute_force(postings: Postings, terms: list[Term], k: int) -> tuple[list[int], list[float]]:
    sums: dict[int, float] = {}
    for term in terms:
        for place in range(term.start, term.end):
            ratio = postings.ratios[postings.impacts[place]]
            score = term.weight - term.weight / (np.float32(1) + ratio)
            document = int(postings.documents[place])
            sums[document] = sums.get(document, 0.0) + float(score)
    scores = {document: float(np.float32(total)) for document, total in sums.items()}
    order = sorted(scores, key=lambda document: (-scores[document], postings.ranks[document]))[:k]
    return order, [scores[document] for document in order]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    documents=st.sampled_from([1, 60, 700, 3000]),
    shares=st.lists(st.sampled_from([0.001, 0.02, 0.3, 0.9, 1.0]), min_size=1, max_size=7),
    values=st.sampled_from([1, 2, 40]),
    k=st.sampled_from([1, 7, 50]),
    sample=st.sampled_from([1, 60, 512]),
    budgets=st.sampled_from([(float("inf"),), (1, 5, 50, float("inf")), (2000, float("inf"))]),
    dense=st.sampled_from([0, 8, 10**9]),
)
def test_pruned_search_equals_brute_force(
    seed: int,
    documents: int,
    shares: list[float],
    values: int,
    k: int,
    sample: int,
    budgets: tuple[float, ...],
    dense: int,
) -> None:
    postings, terms = make(seed, documents, shares, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", -1)
        patch.setattr(ranking, "SAMPLE", sample)
        patch.setattr(ranking, "BUDGETS", budgets)
        patch.setattr(ranking, "DENSE", dense)
        found, scores = ranking.best(postings, terms, k)
    assert (found.tolist(), scores.tolist()) == by_brute_force(postings, terms, k)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), k=st.sampled_from([1, 50, 5000]))
def test_exhaustive_search_equals_brute_force(seed: int, k: int) -> None:
    postings, terms = make(seed, 400, [0.01, 0.2, 1.0], 3)
    found, scores = ranking.best(postings, terms, k)
    assert (found.tolist(), scores.tolist()) == by_brute_force(postings, terms, k)


def test_pruning_leaves_most_documents_out() -> None:
    postings, terms = make(1, 100_000, [0.01, 0.02, 0.3, 0.5], 40)
    documents, _ = ranking.pruned(postings, terms, 50)
    assert len(documents) < 1000


def test_no_terms_and_no_results_wanted() -> None:
    postings, terms = make(1, 50, [0.5], 2)
    assert ranking.best(postings, [], 50)[0].tolist() == []
    assert ranking.best(postings, terms, 0)[0].tolist() == []
