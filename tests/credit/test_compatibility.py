"""Every combination that the compatibility matrix rules out, and some that it must let pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, ClassVar

import pytest
import yaml

from agentrl import rewards
from agentrl.config import Config, build_config
from agentrl.credit import parse
from agentrl.credit.base import Level, Stage
from agentrl.credit.compatibility import LARGE_ENTROPY_BONUS, RUN_RULES, Run, check_run
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.list_rules import LIST_RULES, check_list, nearest
from agentrl.entries import read_entries, written
from agentrl.errors import ConfigError
from agentrl.registry import names

GAE_TURN = {"gae": {"mode": "turn"}}
KL = {"reinforce_pp": {"kl_coefficient": 0.1}}

REFUSED: list[tuple[list[Any], str, str]] = [
    # The shape of a list.
    ([], "must begin with an outcome estimator such as 'grpo' or 'rloo'", "[grpo]"),
    (["salt"], "must begin with", "[grpo, salt]"),
    (["empg", "rloo"], "must begin with", "[rloo, empg]"),
    (["grpo", "rloo", "empg"], "two outcome estimators, 'grpo' and 'rloo'", "[grpo, empg]"),
    (["grpo", "empg", "salt"], "'salt' .'refine'. must stand before 'empg'", "[grpo, salt, empg]"),
    (["rloo", "whiten", "oprl"], "'oprl' .* must stand before 'whiten'", ""),
    (["grpo", "salt", "salt"], "names 'salt' twice", "[grpo, salt]"),
    (["grpo", {"empg": {"k": 2.0}}, "empg"], "names 'empg' twice", "[grpo, {empg: {k: 2.0}}]"),
    # GAE: do not combine with SALT, GiGPO (they post-process group advantages).
    (["gae", "salt"], "'salt' works on .* within a group, and 'gae' compares", "[grpo, salt]"),
    ([GAE_TURN, "gigpo"], "'gigpo' works on .* and 'gae'", "[grpo, gigpo]"),
    ([GAE_TURN, "graph_value"], "'graph_value' works on", "[grpo, graph_value]"),
    ([GAE_TURN, "igpo", "empg"], "'igpo' works on", "[grpo, igpo, empg]"),
    (["gae", "oprl"], "'oprl' works on", "[grpo, oprl]"),
    (
        ["gae", "empg"],
        "'empg' works per turn and cannot follow 'gae'",
        "[{gae: {mode: turn}}, empg]",
    ),
    # REINFORCE++ (plain): not with modules reading a group advantage.
    (["reinforce_pp", "salt"], "'reinforce_pp' has no groups", "[reinforce_pp_baseline, salt]"),
    (["reinforce_pp", "gigpo"], "has no groups", "[reinforce_pp_baseline, gigpo]"),
    (["reinforce_pp", "graph_value"], "no groups", "[reinforce_pp_baseline, graph_value]"),
    (["reinforce_pp", "oprl"], "has no groups", "[reinforce_pp_baseline, oprl]"),
    (
        ["reinforce_pp", "igpo"],
        "has no groups",
        "[reinforce_pp_baseline, {igpo: {outcome: host}}]",
    ),
    ([KL, "empg"], "'empg' works per turn .* 'reinforce_pp'", "[reinforce_pp, empg]"),
    # SALT and GiGPO in the same run: both reuse state coincidence; so do graph values.
    (["grpo", "salt", "gigpo"], "'salt' and 'gigpo' both learn from states", "[grpo, salt]"),
    (["grpo", "gigpo", "salt"], "'gigpo' and 'salt' both", "[grpo, gigpo]"),
    (["rloo", "graph_value", "salt", "empg"], "counts one thing", "[rloo, graph_value, empg]"),
    (["grpo", "gigpo", "graph_value"], "'gigpo' and 'graph_value' both", "[grpo, gigpo]"),
    # Two process signals.
    (["grpo", "igpo", "oprl"], "'igpo' and 'oprl' are both process signals", "[grpo, igpo]"),
    (["grpo", "oprl", "igpo"], "'oprl' and 'igpo' are both", "[grpo, oprl]"),
    # IGPO: no length-dependent credit afterwards, and nothing before that it would discard.
    (["grpo", "igpo", "salt"], "values of 'igpo' are sums over the turns", "[grpo, igpo]"),
    (["grpo", "igpo", "gigpo"], "values of 'igpo' are sums", "[grpo, igpo]"),
    (["grpo", "igpo", "graph_value"], "values of 'igpo' are sums", "[grpo, igpo]"),
    (["grpo", "salt", "igpo"], "'igpo' would put .* place of those of 'salt'", "[grpo, salt]"),
    (["grpo", "gigpo", "igpo"], "place of those of 'gigpo'", "[grpo, gigpo]"),
    (["rloo", "igpo"], "'rloo' would have no effect", "[rloo, {igpo: {outcome: host}}]"),
    (["bnpo", "igpo"], "'bnpo' would have no effect", "[bnpo, {igpo: {outcome: host}}]"),
    (["dr_mas", "igpo"], "'dr_mas' would have no effect", "[dr_mas, {igpo: {outcome: host}}]"),
    (
        ["rloo", {"igpo": {"normalise": "joint"}}],
        "no effect",
        "[grpo, {igpo: {normalise: joint}}]",
    ),
    # What replaces values comes before what adds to them.
    (["rloo", "oprl", "salt"], "'salt' averages .* stand before 'oprl'", "[rloo, salt, oprl]"),
    (
        ["rloo", "oprl", "graph_value", "empg"],
        "'graph_value' would put values of its own",
        "[rloo, graph_value, oprl, empg]",
    ),
    # One normaliser for both parts.
    (
        ["dr_grpo", {"gigpo": {"normaliser": "mean_std_norm", "omega": 0.5}}],
        "normaliser 'mean_std_norm' of 'gigpo' does not fit 'dr_grpo'",
        "[dr_grpo, {gigpo: {omega: 0.5}}]",
    ),
    (["rloo", {"gigpo": {"normaliser": "mean_std_norm"}}], "does not fit", "[rloo, gigpo]"),
    (["grpo", {"gigpo": {"normaliser": "mean_norm"}}], "does not fit 'grpo'", "[grpo, gigpo]"),
    # Normalisation by a deviation comes before an additive bonus, never after.
    (
        ["grpo", "empg", "whiten"],
        "'whiten' would divide by a deviation what 'empg' has added",
        "[grpo, empg]",
    ),
    (["rloo", "empg", "whiten"], "'empg' has added", "[reinforce_pp_baseline, empg]"),
    (["dr_grpo", "gigpo", "whiten"], "'gigpo' has added", "[reinforce_pp_baseline, gigpo]"),
    (["rloo", "oprl", "whiten"], "'oprl' has added", "[reinforce_pp_baseline, oprl]"),
    (["grpo", "igpo", "whiten"], "'igpo' has added", "[grpo, igpo]"),
    ([GAE_TURN, "empg", "whiten"], "'empg' has added", "[{gae: {mode: turn}}, empg]"),
    (
        ["grpo", {"graph_value": {"mode": "graphgpo"}}, "whiten"],
        "'graph_value' has added",
        "[grpo, {graph_value: {mode: graphgpo}}]",
    ),
]

ALLOWED: list[list[Any]] = [
    ["grpo", "salt"],
    ["dr_grpo", "salt"],
    ["rloo", "salt"],
    ["bnpo", "salt", "empg"],
    ["bnpo", "gigpo"],
    ["dr_mas", "salt"],
    ["dr_mas", "gigpo"],
    ["grpo", "gigpo"],
    ["dr_grpo", "gigpo"],
    ["rloo", {"gigpo": {"normaliser": "mean_norm"}}],
    ["grpo", "igpo", "empg"],
    ["rloo", {"igpo": {"outcome": "host"}}],
    ["rloo", "oprl"],
    ["grpo", "oprl"],
    ["reinforce_pp_baseline", "oprl"],
    ["grpo", "graph_value"],
    ["rloo", "salt", "oprl"],
    ["rloo", "salt", "whiten"],
    ["rloo", {"empg": {"zeta": 0.0}}, "whiten"],
    ["grpo", "graph_value", "whiten"],
    ["grpo", "salt", "empg"],
    ["spo", "empg"],
    ["spo", "salt"],
    ["reinforce_pp", "empg"],
    ["reinforce_pp", "whiten"],
    ["gae", "whiten"],
    [GAE_TURN, "empg"],
]


def ids(rows: list[Any]) -> list[str]:
    return [str(row[0] if isinstance(row, tuple) else row) for row in rows]


@pytest.mark.parametrize(("entries", "why", "instead"), REFUSED, ids=ids(REFUSED))
def test_what_makes_no_sense_is_refused_with_the_nearest_list(
    entries: list[Any], why: str, instead: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse(entries)
    message = str(caught.value)
    assert "\n" not in message
    suggested = message.rpartition("; use ")[2]
    assert suggested == instead or not instead
    assert written(read_entries("credit", yaml.safe_load(suggested), object)) == suggested
    parse(yaml.safe_load(suggested))


@pytest.mark.parametrize("entries", ALLOWED, ids=ids(ALLOWED))
def test_what_makes_sense_passes_and_stays_as_it_is(entries: list[Any]) -> None:
    methods = parse(entries)
    assert [m.name for m in parse(methods)] == [m.name for m in methods]
    assert parse(methods) == methods


def test_every_row_refuses_something() -> None:
    lists = [read_entries("credit", entries, object) for entries, _, _ in REFUSED]
    first = [next(rule for rule in LIST_RULES if rule.clash(methods)) for methods in lists]
    assert {rule.why for rule in first} == {rule.why for rule in LIST_RULES}


def test_the_nearest_list_always_makes_sense() -> None:
    built = {name: read_entries("credit", name, object)[0] for name in names("credit")}
    assert len(built) >= 15
    lists = [*product(built, repeat=2), *permutations(built, 3)]
    for chosen in lists:
        methods = [built[name] for name in chosen]
        mended = nearest(methods)
        check_list(mended)
        assert len(mended) <= len(methods) + 1


@pytest.mark.parametrize(
    ("host", "normaliser"),
    [
        ("grpo", "mean_std_norm"),
        ("dr_mas", "mean_std_norm"),
        ("spo", "mean_std_norm"),
        ("dr_grpo", "mean_norm"),
        ("rloo", "mean_norm"),
    ],
)
def test_gigpo_follows_its_estimator(host: str, normaliser: str) -> None:
    (_, followed) = parse([host, "gigpo"])
    assert isinstance(followed, Gigpo)
    assert followed.normaliser == normaliser
    assert parse([host, {"gigpo": {"normaliser": normaliser}}])[1] == followed


def test_a_method_of_ones_own_goes_with_all_others() -> None:
    @dataclass(frozen=True)
    class Own:
        stage: Stage = "refine"
        name: ClassVar[str] = "own"
        level: ClassVar[Level] = "turn"
        needs: ClassVar[frozenset[str]] = frozenset()

        def __call__(self, batch: Any, advantages: Any, signals: Any) -> Any:
            return advantages

    for name in ("salt", "gigpo", "igpo", "oprl", "graph_value", "empg"):
        refined = parse(["grpo", Own(), name])
        assert [method.name for method in refined] == ["grpo", "own", name]
    with pytest.raises(ConfigError, match=r"use \[grpo, \{own: \{stage: normalise\}\}\]"):
        parse([Own(stage="normalise"), "grpo", Own(stage="normalise")])


def config(**sections: Any) -> Config:
    return build_config(sections, "test")


RUNS: list[tuple[list[Any], list[Any], dict[str, Any], str, str]] = [
    *(
        ([host], [], {"rollout": {"group_size": 1}}, f"'{host}' compares", "credit=[spo]")
        for host in ("grpo", "dr_grpo", "rloo", "bnpo", "reinforce_pp_baseline", "dr_mas")
    ),
    *(
        (["spo", step], [], {"rollout": {"group_size": 1}}, f"'{step}' compares", "credit=[spo]")
        for step in ("salt", "gigpo", "graph_value", "oprl")
    ),
    (
        ["grpo", "salt", "empg"],
        [],
        {"rollout": {"group_size": 1}},
        "'grpo' compares the episodes of a task",
        "use rollout.group_size=8, or credit=[spo, empg]",
    ),
    (
        ["grpo", "empg"],
        [],
        {"learner": {"entropy_coefficient": 0.02}},
        "'empg' rewards low entropy",
        "'learner.entropy_coefficient' above 0.01 high entropy; use 0.01 or less, or credit=[grpo]",
    ),
    (
        ["rloo", "empg"],
        [],
        {"learner": {"entropy_smoothing": {"weight": 0.05}}},
        "'learner.entropy_smoothing.weight' above 0.01",
        "use 0.01 or less, or credit=[rloo]",
    ),
    (
        ["grpo"],
        [{"overlong": {"limit": 200, "buffer": 50}}],
        {"dialogue": {"max_episode_tokens": 100}},
        "'overlong' would never take anything",
        "use rewards=[{overlong: {limit: 100, buffer: 20}}]",
    ),
    (
        ["grpo", "igpo"],
        ["renorm"],
        {},
        "'igpo' and reward transform 'renorm' are both process signals",
        "use rewards without renorm, or credit=[grpo]",
    ),
    (
        [KL],
        [],
        {"learner": {"kl": "reward"}},
        "twice, by kl_coefficient of 'reinforce_pp'",
        "use learner.kl=none",
    ),
    *(
        (
            ["bnpo", "salt"],
            [reward] if reward else [],
            {"learner": {"kl": kl}},
            f"'bnpo' takes it that no episode earns less than 0, and '{why}' makes some",
            "credit=[{bnpo: {lowest: -1.0}}, salt]",
        )
        for reward, kl, why in (
            ("overlong", "none", "overlong"),
            ("invalid_action", "loss", "invalid_action"),
            ({"noisy_verifier": {"false_positive": 0.1}}, "none", "noisy_verifier"),
            (None, "reward", "learner.kl=reward"),
        )
    ),
    (
        ["grpo"],
        [{"noisy_verifier": {"false_positive": 0.1}}],
        {},
        "the backward correction of a noisy verifier does nothing under credit .grpo.",
        "",
    ),
]


@pytest.mark.parametrize(("credit", "reward", "sections", "why", "instead"), RUNS)
def test_settings_of_a_run_that_make_no_sense(
    credit: list[Any], reward: list[Any], sections: dict[str, Any], why: str, instead: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        check_run(config(**sections), parse(credit), rewards.parse(reward))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(instead)
    suggested = re.search(r"credit=(\[.*\])", message)
    if suggested:
        check_run(config(**sections), parse(yaml.safe_load(suggested[1])))


def test_settings_of_a_run_that_make_sense() -> None:
    check_run(config(), parse(["grpo", "salt", "empg"]))
    check_run(config(rollout={"group_size": 1}), parse(["spo", "empg"]))
    check_run(config(rollout={"group_size": 1}), parse("reinforce_pp"))
    check_run(config(rollout={"group_size": 1}), parse("gae"))
    small = {"entropy_coefficient": LARGE_ENTROPY_BONUS}
    check_run(config(learner=small), parse(["grpo", "empg"]))
    check_run(config(learner={"entropy_coefficient": 1.0}), parse(["grpo", "igpo"]))
    check_run(config(), parse("gae"), rewards.parse("renorm"))
    check_run(config(), parse(["rloo", "oprl"]), rewards.parse("renorm"))
    check_run(config(learner={"kl": "loss"}), parse([KL]))
    check_run(config(learner={"entropy_smoothing": {}}), parse(["grpo", "empg"]))
    late = rewards.parse([{"overlong": {"limit": 200, "buffer": 150}}])
    check_run(config(dialogue={"max_episode_tokens": 100}), parse("grpo"), late)
    wide = parse({"bnpo": {"lowest": -1.0}})
    check_run(config(learner={"kl": "reward"}), wide, rewards.parse("overlong"))
    check_run(config(), parse("bnpo"), rewards.parse([{"otc": {"max_calls": 4}}]))


def test_every_row_of_a_run_refuses_something() -> None:
    runs = [
        Run(config(**sections), parse(credit), rewards.parse(reward))
        for credit, reward, sections, _, _ in RUNS
    ]
    assert all(any(rule.clash(run) for run in runs) for rule in RUN_RULES)
