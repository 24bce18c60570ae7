"""The pruned search against scoring everything, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop import ranking, sweep
from agentrl.environments.webshop.bm25 import idf, term_scores
from agentrl.environments.webshop.postings import MOST_EXCESS, STEPS, Postings, Term, steps

Query = tuple[Postings, list[Term]]


def make(seed: int, documents: int, shares: list[float], values: int, common: float = 2.0) -> Query:
    """Return random postings: few values of impact make many ties.

    Terms of at least the share `common` are in the table of common terms.
    """
    rng = np.random.default_rng(seed)
    ratios = np.sort(rng.choice(np.linspace(0.1, 9, 97), values, replace=False)).astype(np.float32)
    lists, impacts, terms, table, end = [], [], [], [], 0
    for share in shares:
        held = np.flatnonzero(rng.random(documents) < share).astype(np.int32)
        if not len(held):
            continue
        impact = rng.integers(0, values, len(held)).astype(np.uint8)
        weight = np.float32(rng.integers(1, 3)) * idf(documents, len(held))
        row = len(table) if share >= common else None
        if row is not None:
            table.append(np.zeros(documents, np.uint8))
            table[row][held] = steps(ratios)[impact]
        terms.append(Term(end, end + len(held), weight, int(impact.max()), row))
        lists.append(held)
        impacts.append(impact)
        end += len(held)
    ranks = rng.permutation(documents).astype(np.int32)
    empty = np.empty(0, np.int32)
    joined = np.concatenate([empty, *lists]), np.concatenate([empty.astype(np.uint8), *impacts])
    rows = np.array(table, np.uint8).reshape(len(table), documents)
    return Postings(*joined, ratios, ranks, rows), terms


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
    budget=st.sampled_from([-1, 1, 50, 2000, 10**9]),
    dense=st.sampled_from([0, 10**9]),
    common=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    window=st.sampled_from([8, 512, 1 << 17]),
)
def test_pruned_search_equals_brute_force(
    seed: int,
    documents: int,
    shares: list[float],
    values: int,
    k: int,
    sample: int,
    budget: int,
    dense: int,
    common: float,
    window: int,
) -> None:
    postings, terms = make(seed, documents, shares, values, common)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", -1)
        patch.setattr(ranking, "SAMPLE", sample)
        patch.setattr(ranking, "BUDGET", budget)
        patch.setattr(ranking, "DENSE", dense)
        patch.setattr(sweep, "WINDOW", window)
        found, scores = ranking.best(postings, terms, k)
    assert (found.tolist(), scores.tolist()) == by_brute_force(postings, terms, k)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32), k=st.sampled_from([1, 50, 5000]), dense=st.sampled_from([0, 400])
)
def test_exhaustive_search_equals_brute_force(seed: int, k: int, dense: int) -> None:
    postings, terms = make(seed, 400, [0.01, 0.2, 1.0], 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "DENSE", dense)
        found, scores = ranking.best(postings, terms, k)
    assert (found.tolist(), scores.tolist()) == by_brute_force(postings, terms, k)


def test_rare_terms_leave_most_documents_out() -> None:
    postings, terms = make(1, 100_000, [0.001, 0.001, 0.05, 0.9], 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "sweep", None)
        documents, _ = ranking.pruned(postings, terms, 50)
    assert len(documents) < 1000


@pytest.mark.parametrize("bound", [0.0, 1e-3])
def test_a_sweep_leaves_most_documents_out(bound: float) -> None:
    postings, terms = make(1, 300_000, [0.01, 0.02, 0.3, 0.5], 40, common=0.3)
    kept = sweep.sweep(postings, terms, 50, bound).tolist()
    assert kept == sorted(set(kept))
    assert set(by_brute_force(postings, terms, 50)[0]) <= set(kept)
    assert len(kept) < 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_allows_for_what_its_table_has_too_much(seed: int) -> None:
    postings, terms = make(seed, 2000, [0.5] * 6, 97, common=0.5)
    best = by_brute_force(postings, terms, 60)[0]
    for k in range(1, 60):
        assert set(best[:k]) <= set(sweep.sweep(postings, terms, k, 0.0).tolist())


def test_steps_are_no_less_than_scores_and_little_more() -> None:
    shares = np.linspace(0, 1, 256 * 8 + 1)[1:-1]
    ratios = (shares / (1 - shares)).astype(np.float32)
    scores = term_scores(np.float32(1), ratios).astype(np.float64) * STEPS
    excess = steps(ratios) - scores
    assert excess.min() > 1e-4
    assert excess.max() <= MOST_EXCESS + 1e-4
    assert steps(np.array([1e-9, 1e9], np.float32)).tolist() == [1, STEPS]


def test_no_terms_and_no_results_wanted() -> None:
    postings, terms = make(1, 50, [0.5], 2)
    assert ranking.best(postings, [], 50)[0].tolist() == []
    assert ranking.best(postings, terms, 0)[0].tolist() == []
