from __future__ import annotations

from typing import Any

import pytest

from agentrl.credit.words import PHRASES, in_words

CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "grpo",
        {"return": 1.0, "mean": 0.75, "std": 0.4629, "compared": 8},
        "return 1 against the mean 0.75 ± 0.463 of 8",
    ),
    ("grpo", {"return": 1.0, "mean": 0.0, "std": 1.0, "compared": 1}, "no other to compare with"),
    ("dr_grpo", {"return": 0.0, "mean": 0.5, "compared": 2}, "return 0 against the mean 0.5 of 2"),
    ("rloo", {"return": 1.0, "mean_of_others": 0.25, "others": 4}, "against 0.25, the mean of 4"),
    ("rloo", {"return": 1.0, "mean_of_others": 0.0, "others": 0}, "no other to compare with"),
    (
        "bnpo",
        {"return": 1.0, "mean": 0.25, "compared": 4, "density": 1.1238, "weight": 0.88984},
        "return 1 against the mean 0.25 of 4, times 0.89",
    ),
    ("reinforce_pp_baseline", {"return": 0.0, "mean": 0.5, "compared": 2}, "mean 0.5 of 2"),
    ("reinforce_pp", {"reward": 0.0, "return_from_here": 1.0}, "1 earned from here on"),
    (
        "dr_mas",
        {"agent": "critic", "return": 1.0, "mean": 0.5, "std": 0.5, "compared": 6},
        "critic: return 1 against the mean 0.5 ± 0.5 of 6 turns",
    ),
    ("spo", {"return": 1.0, "baseline": 0.5, "weight": 2.0}, "against 0.5, what the task has paid"),
    ("gae", {"reward": 0.0, "value": 0.25}, "reward 0, critic 0.25"),
    ("gae", {"reward": 0.0, "value": 0.25, "bootstrap": 0.5}, "critic 0.25, 0.5 beyond"),
    (
        "salt",
        {"mergeable": True, "merged": True, "occurrences": 5, "trajectories": ["a", "b"]},
        "taken 5 times by 2 episodes: their mean",
    ),
    (
        "salt",
        {"mergeable": True, "merged": True, "occurrences": 2, "trajectories": ["a"]},
        "taken 2 times by this episode: their mean",
    ),
    ("salt", {"mergeable": True, "merged": False}, "taken only here: keeps its value"),
    ("salt", {"mergeable": False, "merged": False}, "cut off or not parsed: keeps its value"),
    ("gigpo", {"visits": 1}, "situation seen only here"),
    (
        "gigpo",
        {"visits": 3, "return_from_here": 0.9, "mean": 0.3, "std": 0.5},
        "0.9 from here, against 0.3 ± 0.5 of 3 visits",
    ),
    (
        "graph_value",
        {"from_worth": 0.5, "to_worth": None, "edges_from_here": 3},
        "leads from worth 0.5 to None, one of 3 ways from here",
    ),
    ("igpo", {"outcome": 1.0, "z": 0.5}, "outcome 1, z +0.50"),
    (
        "igpo",
        {"answer_logprob_after": -1.0, "information_gain": 0.5, "z": 1.25},
        "answer +0.5 to log-probability -1, z +1.25",
    ),
    ("igpo", {"information_gain": None, "z": 0.0}, "answer not scored here"),
    (
        "empg",
        {"entropy": 0.5, "scale": 1.1, "clarity_bonus": 0.05},
        "entropy 0.5: times 1.1, plus 0.05",
    ),
    (
        "oprl",
        {"prm_log_ratio": 0.25, "step_advantage": 0.5, "outcome_advantage": -1.0},
        "log-ratio +0.25: +0.5 on -1",
    ),
    ("whiten", {"mean": 0.1, "std": 0.5}, "less the batch's mean 0.1, in units of 0.5"),
    ("mine", {"edge": 3, "worth": 0.123456}, "edge 3, worth 0.123"),
    ("salt", {"another": "version"}, "another version"),
    ("grpo", {}, ""),
]


@pytest.mark.parametrize(("method", "because", "words"), CASES)
def test_reasons_in_words(method: str, because: dict[str, Any], words: str) -> None:
    assert words in in_words({"method": method, "value": 1.0, "because": because})


def test_every_phrase_is_tried() -> None:
    assert PHRASES.keys() <= {method for method, _, _ in CASES}


def test_a_record_without_reason_has_no_words() -> None:
    assert in_words({"method": "whiten", "value": 1.0}) == ""
