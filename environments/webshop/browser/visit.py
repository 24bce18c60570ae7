"""One person's games: an environment, the episode being played and what was done in it."""

from __future__ import annotations

import secrets
from typing import Any

from agentrl.environments.webshop.actions import click, search
from agentrl.environments.webshop.env import WebShop
from agentrl.environments.webshop.pages import ItemPage, Page
from agentrl.environments.webshop.panels import WebShopTask
from agentrl.trajectory import Outcome, Trajectory, Turn

STALE = "That page was out of date, so nothing was done. This is where you are now."
UNKNOWN = "The shop did not understand that; it cost a turn."
NO_SUCH_CONTROL = "There is no such control on this page; nothing was done."


class Visit:
    """A person in the shop.

    Attributes:
        env: The environment played; nobody else plays it.
        observation: What an agent would be shown now.
        info: The environment's `info`.
        turns: What was done in this episode.
        outcome: How the episode ended; None while it goes on.
        note: What to tell the person on the next page.
        item: The product page that was open last.
    """

    def __init__(self, env: WebShop, *, task: str | None = None, seed: int | None = None) -> None:
        """Start the first episode.

        Args:
            env: An environment of the visit's own.
            task: The task to begin with; None draws one.
            seed: Seeds the draw of tasks.

        Raises:
            TaskError: There is no such task.
        """
        self.env = env
        self._episode = 0
        self.begin(task, seed)

    def begin(self, task: str | None = None, seed: int | None = None) -> None:
        """Start an episode of a task, or of one drawn from the split."""
        options = {"task": task} if task is not None else None
        self.observation, self.info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        self.turns: list[Turn] = []
        self.outcome: Outcome | None = None
        self.note = ""
        self.item: ItemPage | None = None

    @property
    def mark(self) -> str:
        """Return what tells this page from all others of the visit; its forms carry it."""
        return f"{self._episode}.{len(self.turns)}"

    @property
    def page(self) -> Page:
        """Return the page the person is on."""
        return self.env.session.page

    @property
    def task_id(self) -> str:
        """Return the task being played."""
        return str(self.info["task_id"])

    @property
    def task(self) -> WebShopTask:
        """Return what is asked for, and the prices."""
        assert self.env.task is not None, "a visit begins with an episode"
        task: WebShopTask = self.env.task.data
        return task

    @property
    def clicks(self) -> tuple[str, ...]:
        """Return the clicks that can be made now; a form names one by its position."""
        return self.env.session.body.clicks

    def number_of(self, control: str) -> int | None:
        """Return the position of a control among `clicks`, or None where no action can name it."""
        actions = [action.lower() for action in self.clicks]
        action = click(control).lower()
        return actions.index(action) if action in actions else None

    def search(self, words: str) -> None:
        """Search for words."""
        self._act(search(words))

    def click(self, number: str) -> None:
        """Click the control at a position of `clicks`; anything else does nothing."""
        known = {str(position): action for position, action in enumerate(self.clicks)}
        if number in known:
            self._act(known[number])
        else:
            self.note = NO_SUCH_CONTROL

    def trajectory(self) -> Trajectory:
        """Return the episode, which must have ended, as a record."""
        assert self.outcome is not None, "the episode goes on"
        return Trajectory(
            id=f"human-{secrets.token_hex(8)}",
            group=self.task_id,
            task_id=self.task_id,
            turns=self.turns,
            outcome=self.outcome,
            final_observation=self.observation,
            final_state_key=self.info.get("state_key"),
            environment="webshop",
            split=self.env.split,
            metrics={key: float(value) for key, value in self._parts().items()},
        )

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = self.info.get("reward_parts", {})
        return parts

    def _act(self, action: str) -> None:
        assert self.outcome is None, "the episode has ended"
        if isinstance(self.page, ItemPage):
            self.item = self.page
        before, state = self.observation, self.info.get("state_key")
        self.observation, reward, terminated, truncated, self.info = self.env.step(action)
        valid = not self.info["invalid"]
        self.turns.append(
            Turn(before, action, reward, completion=action, state_key=state, valid=valid)
        )
        self.note = "" if valid else UNKNOWN
        if self.info["success"]:
            self.outcome = Outcome.SUCCESS
        elif terminated:
            self.outcome = Outcome.FAILURE
        elif truncated:
            self.outcome = Outcome.TRUNCATED_TURNS
