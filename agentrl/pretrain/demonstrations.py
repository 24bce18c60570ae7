"""Episodes of players of mixed skill as token rows: what the base policy is cloned from.

A player is the expert with a share of random moves. Where only the expert's own moves are learned,
the noise shows the clone what lies beside the expert's path (the noise of DART, arXiv 1703.09327,
with the labels of DAgger, arXiv 1011.0686). Where all moves are learned, the clone can play well
and badly, as a language model can that has read good and bad players: there reinforcement
learning has something to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.env import TextEnv
from agentrl.pretrain.tokenizer import ACTION, END, OBSERVATION

Kind = npt.NDArray[np.int8]
READ, PLAYED, LEARNED = 0, 1, 2
"""What a token is: read, part of a move that is not learned, part of one that is."""


@dataclass(frozen=True, slots=True, eq=False)
class Demonstration:
    """One episode as the policy will read it: one append-only token sequence."""

    ids: npt.NDArray[np.int32]
    kinds: Kind
    success: bool
    observation_weight: float
    """Of what is read, in the loss, beside 1 for what is learned."""


@dataclass(frozen=True, slots=True)
class Supply:
    """An environment with an expert, and how it is used."""

    env: TextEnv
    share: float = 1.0
    """How often it is drawn, beside others."""
    tasks: int | None = None
    """How many of its training tasks are played; None: all."""
    observation_weight: float = 0.2
    noise: tuple[float, ...] = (0.0,)
    """Shares of random moves; each episode draws one of them."""
    learn_noise: bool = False
    """Whether random moves are marked as learned too."""

    @property
    def size(self) -> int:
        """How many tasks there are to draw from."""
        whole = self.env.tasks.size("train")
        return whole if self.tasks is None else min(self.tasks, whole)


class Demonstrator:
    """Plays environments with an expert and writes the episodes down as tokens."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        """Prepare.

        Args:
            tokenizer: One that `train_tokenizer` made.
            max_tokens: Where an episode's sequence is cut (after a whole turn).
        """
        self._encode = tokenizer.backend_tokenizer.encode
        self._observation, self._action, self._end = tokenizer.convert_tokens_to_ids(
            [OBSERVATION, ACTION, END]
        )
        self._max_tokens = max_tokens
        self._cache: dict[str, list[int]] = {}

    def play(self, supply: Supply, task_id: str, rng: np.random.Generator) -> Demonstration:
        """Play one task; draw noise from `rng`."""
        env = supply.env
        observation, info = env.reset(seed=int(rng.integers(2**31)), options={"task": task_id})
        noise = supply.noise[int(rng.integers(len(supply.noise)))]
        random_kind = LEARNED if supply.learn_noise else PLAYED
        ids: list[int] = []
        kinds: list[int] = []
        done = False
        while not done and "expert_action" in info:
            random_move = rng.random() < noise
            action = self._random(info, rng) if random_move else info["expert_action"]
            turn = [self._observation, *self.encode(observation), self._action]
            answer = [*self.encode(action), self._end]
            if len(ids) + len(turn) + len(answer) > self._max_tokens:
                break
            ids += turn + answer
            kinds += [READ] * len(turn)
            kinds += [random_kind if random_move else LEARNED] * len(answer)
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        return Demonstration(
            np.array(ids, np.int32),
            np.array(kinds, np.int8),
            bool(info["success"]),
            supply.observation_weight,
        )

    def pool(self, supplies: Sequence[Supply], count: int, seed: int) -> list[Demonstration]:
        """Return `count` episodes, each of a random training task of a random environment.

        Args:
            supplies: The environments.
            count: Number of episodes.
            seed: Decides everything.
        """
        rng = np.random.default_rng(seed)
        chances = np.array([supply.share for supply in supplies])
        episodes = []
        for _ in range(count):
            supply = supplies[int(rng.choice(len(supplies), p=chances / chances.sum()))]
            task = supply.env.tasks.at("train", int(rng.integers(supply.size)))
            episodes.append(self.play(supply, task.id, rng))
        return episodes

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; short texts recur, so they are remembered."""
        ids = self._cache.get(text)
        if ids is None:
            ids = list(self._encode(text, add_special_tokens=False).ids)
            if len(self._cache) < 200_000:
                self._cache[text] = ids
        return ids

    def _random(self, info: dict[str, Any], rng: np.random.Generator) -> str:
        actions = info["admissible_actions"]
        action: str = actions[int(rng.integers(len(actions)))]
        # Some slips are not even commands: the clone must know what "Nothing happens." is.
        return action if rng.random() > 0.1 else action.rsplit(" ", 1)[0]
