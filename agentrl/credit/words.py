"""Why a turn got its value, in words for people: one short phrase per record of a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]


def in_words(record: Record) -> str:
    """Return the reason that an entry of `Explained.why` gives; empty where it gives none.

    Args:
        record: `{"method": …, "value": …, "because": {…}}`.
    """
    because = record.get("because") or {}
    phrase = PHRASES.get(record["method"], listed)
    try:
        return phrase(because) if because else ""
    except (KeyError, TypeError, ValueError):
        # A file of another version, or another method of that name.
        return listed(because)


def listed(because: Record) -> str:
    """Return a record as `key value, key value`."""
    return ", ".join(f"{key} {figure(value)}" for key, value in because.items())


def figure(value: Any) -> str:
    """Return a number as people read it, anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _against_group(because: Record) -> str:
    if because["compared"] == 1:
        return f"return {figure(because['return'])}, with no other to compare with"
    spread = f" ± {figure(because['std'])}" if "std" in because else ""
    own = f"return {figure(because['return'])} against the mean {figure(because['mean'])}{spread}"
    return f"{own} of {because['compared']}"


def _against_others(because: Record) -> str:
    if not because["others"]:
        return f"return {figure(because['return'])}, with no other to compare with"
    mean = figure(because["mean_of_others"])
    return (
        f"return {figure(because['return'])} against {mean}, the mean of {because['others']} others"
    )


def _against_means(because: Record) -> str:
    return f"{_against_group(because)}, times {figure(because['weight'])}"


def _against_agent(because: Record) -> str:
    return f"{because['agent']}: {_against_group(because)} turns"


def _against_past(because: Record) -> str:
    own, past = figure(because["return"]), figure(because["baseline"])
    return f"return {own} against {past}, what the task has paid so far"


def _to_go(because: Record) -> str:
    return f"{figure(because['return_from_here'])} earned from here on"


def _critic(because: Record) -> str:
    beyond = f", {figure(because['bootstrap'])} beyond" if "bootstrap" in because else ""
    return f"reward {figure(because['reward'])}, critic {figure(because['value'])}{beyond}"


def _edge(because: Record) -> str:
    if not because["mergeable"]:
        return "cut off or not parsed: keeps its value"
    if not because["merged"]:
        return "taken only here: keeps its value"
    count = len(because["trajectories"])
    by = "this episode" if count == 1 else f"{count} episodes"
    return f"taken {because['occurrences']} times by {by}: their mean"


def _anchor(because: Record) -> str:
    if because["visits"] == 1:
        return "situation seen only here: nothing to compare with"
    own, mean = figure(because["return_from_here"]), figure(because["mean"])
    return (
        f"{own} from here, against {mean} ± {figure(because['std'])} of {because['visits']} visits"
    )


def _graph(because: Record) -> str:
    before, after = (figure(because[end]) for end in ("from_worth", "to_worth"))
    ways = because["edges_from_here"]
    way = "the only way from here" if ways == 1 else f"one of {ways} ways from here"
    return f"leads from worth {before} to {after}, {way}"


def _gain(because: Record) -> str:
    if "outcome" in because:
        return f"outcome {figure(because['outcome'])}, z {because['z']:+.2f}"
    if because["information_gain"] is None:
        return "answer not scored here"
    gain = f"{because['information_gain']:+.3g}"
    after = figure(because["answer_logprob_after"])
    return f"answer {gain} to log-probability {after}, z {because['z']:+.2f}"


def _entropy(because: Record) -> str:
    scale, bonus = because["scale"], because["clarity_bonus"]
    return f"entropy {figure(because['entropy'])}: times {scale:.3g}, plus {bonus:.3g}"


def _whitened(because: Record) -> str:
    return f"less the batch's mean {figure(because['mean'])}, in units of {figure(because['std'])}"


def _process(because: Record) -> str:
    ratio = f"log-ratio {because['prm_log_ratio']:+.3g}"
    return f"{ratio}: {because['step_advantage']:+.3g} on {because['outcome_advantage']:+.3g}"


PHRASES: dict[str, Callable[[Record], str]] = {
    "grpo": _against_group,
    "dr_grpo": _against_group,
    "reinforce_pp_baseline": _against_group,
    "rloo": _against_others,
    "bnpo": _against_means,
    "reinforce_pp": _to_go,
    "dr_mas": _against_agent,
    "spo": _against_past,
    "gae": _critic,
    "salt": _edge,
    "gigpo": _anchor,
    "graph_value": _graph,
    "igpo": _gain,
    "empg": _entropy,
    "oprl": _process,
    "whiten": _whitened,
}
"""How the records of each method read; those of others are listed."""
