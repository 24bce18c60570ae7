from __future__ import annotations

import subprocess
import sys

from agentrl.rollout.seeds import derive_seed, episode_seed, group_seed, turn_seed


def test_seeds_are_the_same_in_another_process():
    code = "from agentrl.rollout.seeds import *; print(episode_seed(1, 2, 'train/3', 4))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(answer.stdout) == episode_seed(1, 2, "train/3", 4)


def test_known_values_never_change():
    assert derive_seed("a", 1) == 2990713671386263668
    assert turn_seed(0, 0) == 0xE220A8397B1DCDAF >> 1  # splitmix64 of seed 0, as published


def test_every_part_and_its_type_and_place_matter():
    seeds = {
        derive_seed("a", "b"),
        derive_seed("ab"),
        derive_seed("b", "a"),
        derive_seed("1"),
        derive_seed(1),
        group_seed(0, 1, "t"),
        group_seed(1, 0, "t"),
        episode_seed(0, 1, "t", 0),
    }
    assert len(seeds) == 8


def test_turn_seeds_are_distinct_63_bit_numbers_that_spread():
    seeds = [turn_seed(episode, turn) for episode in range(100) for turn in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    share = sum(seed >> 62 for seed in seeds) / len(seeds)
    assert 0.45 < share < 0.55


def test_hostile_text_is_no_error():
    assert derive_seed("\ud800 \x00 ☃") >= 0
