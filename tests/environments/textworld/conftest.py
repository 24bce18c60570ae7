"""A few small games, compiled once for the whole folder in a cache of their own."""

from __future__ import annotations

import pytest

import agentrl
from agentrl.environments.textworld import prepare

pytest.importorskip("textworld")

SMALL = {
    "treasure_hunter": {"level": 5},
    "coin_collector": {"level": 3},
    "cooking": {"cook": True, "cut": True},
    "simple": {"goal": "brief"},
    "custom": {"rooms": 3, "objects": 6, "quest_length": 3},
}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("textworld-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(folder))
        for challenge, difficulty in SMALL.items():
            prepare(challenge, count=1, workers=1, **difficulty)
        yield folder


@pytest.fixture
def make():
    """Return a maker of environments, which are closed after the test."""
    made = []

    def build(challenge="coin_collector", **options):
        env = agentrl.make(
            "textworld", challenge=challenge, **{**SMALL.get(challenge, {}), **options}
        )
        made.append(env)
        return env

    yield build
    for env in made:
        env.close()
