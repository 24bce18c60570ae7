"""WebShop as a text environment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from agentrl.env import Step, TextEnv
from agentrl.environments.webshop.actions import search
from agentrl.environments.webshop.body import SEPARATOR
from agentrl.environments.webshop.disjoint import Goals
from agentrl.environments.webshop.expert import Expert, Oracle, Shopper
from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.nouns import Tagger, tagger_named
from agentrl.environments.webshop.panels import WebShopTask
from agentrl.environments.webshop.render_html import render_html
from agentrl.environments.webshop.render_text import render_rich, render_text
from agentrl.environments.webshop.reward import score
from agentrl.environments.webshop.session import Session
from agentrl.environments.webshop.shelf import shelf_of
from agentrl.environments.webshop.tasks import Protocol, webshop_tasks
from agentrl.environments.webshop.wish import read_wish
from agentrl.errors import ConfigError, MissingExtraError, did_you_mean
from agentrl.tasks import Task

Mode = Literal["text_rich", "text", "html"]
ExpertName = Literal["search", "oracle"]


class WebShop(TextEnv):
    """A shop of real products: search, open, choose options, buy what the instruction describes.

    Actions are `search[words]` and `click[control]`; anything else changes nothing, counts as
    invalid and shows the same page again. The reward, from 0 to 1, comes with the purchase, which
    ends the episode; it is a success when all that was asked for was bought.
    """

    max_turns: int | None = 15

    def __init__(
        self,
        *,
        mode: Mode = "text_rich",
        goals: Goals = "synthetic",
        protocol: Protocol = "disjoint",
        expert: ExpertName | bool | None = None,
        data: str | Path | None = None,
        price_seed: int = 0,
        price_variants: int = 1,
        previous_observations: int = 0,
        previous_actions: int = 0,
        tagger: str | Tagger = "packaged",
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose goals and form of the pages.

        Args:
            mode: `text_rich` marks buttons and chosen options, `text` is all text on one line,
                `html` is markup.
            goals: `synthetic`, `human` or `all`, see `webshop_tasks`.
            protocol: Which splits: `disjoint` (ours), `original` or `verl_agent`.
            expert: When set, info carries `expert_action`: `search` (or True) knows only what the
                pages show, `oracle` knows the product.
            data: Folder of the catalogue, or `small` or `full` for those in `AGENTRL_DATA`.
            price_seed: Prices and bounds are drawn from it.
            price_variants: How often `train` holds each goal, with other prices and bounds.
            previous_observations: How many earlier pages an observation begins with.
            previous_actions: How many earlier actions an observation begins with.
            tagger: Finds the nouns for the reward: `packaged`, `spacy` or a function.
            split: The split that `reset` draws from when no task is named.
            max_turns: Overrides the limit of 15 turns.
            render_mode: None or "ansi".

        Raises:
            ConfigError: An option has an unknown value.
            DataError: The catalogue is missing or damaged.
            TaskError: No such split.
            MissingExtraError: The tagger is not installed.
        """
        expert = "search" if expert is True else expert or None
        _check("mode", mode, get_args(Mode))
        if expert is not None:
            _check("expert", expert, get_args(ExpertName))
        _check_number("previous_observations", previous_observations)
        _check_number("previous_actions", previous_actions)
        varied = {"price_seed": price_seed, "price_variants": price_variants}
        self.tasks = webshop_tasks(data, protocol=protocol, goals=goals, **varied)
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self.shelf = shelf_of(data_folder(data).resolve())
        self._mode = mode
        self._expert_name = expert
        self._tagger = tagger_named(tagger)
        self._history = (previous_observations, previous_actions)
        self._pages: tuple[str, ...] = ()
        self._actions: tuple[str, ...] = ()
        self._session: Session | None = None
        self._expert: Expert | None = None

    @classmethod
    def browser_app(cls, make: Callable[[], Any], **settings: Any) -> Any:
        """Return the shop as web pages; see `agentrl.env.TextEnv.browser_app`.

        Raises:
            MissingExtraError: Starlette is not installed.
        """
        if find_spec("starlette") is None:
            raise MissingExtraError("starlette", "webshop", "playing in a browser")
        from agentrl.environments.webshop.browser import shop_app

        return shop_app(make, **settings)

    @property
    def session(self) -> Session:
        """Return the running session."""
        assert self._session is not None, "call reset first"
        return self._session

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Enter the shop."""
        self._enter(task)
        self._pages, self._actions = (), ()
        page = self._render()
        self._remember(page)
        return page

    def on_step(self, action: str) -> Step:
        """Search or click."""
        understood = self.session.act(action)
        if self._expert is not None:
            self._expert.observe(self.session.page)
        page = self._render()
        observation = self._with_history(page, action)
        self._remember(page, action)
        bought = self.session.situation.score
        if bought is None:
            return self.observe(observation) if understood else self.invalid(observation)
        end = self.success if bought.success else self.failure
        return end(observation, bought.reward)

    def admissible_actions(self) -> list[str]:
        """Return a click on each control; on the search page a search with the instruction's words.

        Searching is possible on every page and with any words; one search is listed, so that the
        list has what is needed to get anywhere.
        """
        if self.session.has_search_bar:
            return [search(read_wish(self._goal_text).words)]
        return list(self.session.body.clicks)

    def state_key(self) -> str:
        """Return text that is equal exactly when goal and situation are equal."""
        assert self.task is not None
        key = self.session.key(with_visited=self._mode != "text")
        text = repr((self.task.id, key, self._pages, self._actions))
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]

    def expert_action(self) -> str | None:
        """Return what the chosen expert would do now."""
        return self._expert.act(self.session.page) if self._expert is not None else None

    def snapshot_state(self) -> Any:
        """Return the situation, the history shown and what the expert remembers."""
        memory = self._expert.memory if self._expert is not None else None
        return self.session.situation, self._pages, self._actions, memory

    def restore_state(self, state: Any) -> None:
        """Bring back a situation."""
        situation, self._pages, self._actions, memory = state
        assert self.task is not None, "a snapshot holds its task"
        self._enter(self.task)
        self.session.restore(situation)
        if self._expert is not None and memory is not None:
            self._expert.memory = memory

    def _enter(self, task: Task) -> None:
        data: WebShopTask = task.data
        goal, tagger = data.goal, self._tagger
        self._goal_text = goal.text
        self._session = Session(
            self.shelf,
            goal.text,
            lambda product, chosen: score(goal, product, chosen, data.price_of(product), tagger),
            seed=task.id,
        )
        if self._expert_name == "search":
            self._expert = Shopper(goal.text)
        elif self._expert_name == "oracle":
            self._expert = Oracle(self.shelf, goal)

    def _render(self) -> str:
        page, visited = self.session.page, self.session.situation.visited
        if self._mode == "text":
            return render_text(page)
        if self._mode == "html":
            return render_html(page, visited=visited)
        return render_rich(page, visited)

    def _with_history(self, page: str, action: str) -> str:
        """Return a page after the pages and actions before it, the newest last."""
        shown, acted = self._history
        parts = [page]
        actions = (*self._actions, action)
        for back in range(1, max(shown, acted) + 1):
            if back <= min(acted, len(actions)):
                parts.append(actions[-back])
            if back <= min(shown, len(self._pages)):
                parts.append(self._pages[-back])
        return SEPARATOR.join(reversed(parts))

    def _remember(self, page: str, action: str | None = None) -> None:
        shown, acted = self._history
        if shown:
            self._pages = (*self._pages, page)[-shown:]
        if acted and action is not None:
            self._actions = (*self._actions, action)[-acted:]

    def _info(self) -> dict[str, Any]:
        info = super()._info()
        info["available_actions"] = {
            "has_search_bar": self.session.has_search_bar,
            "clickables": list(self.session.clickables),
        }
        bought = self.session.situation.score
        if bought is not None:
            info["reward_parts"] = bought.parts()
        return info


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or value < 0:
        raise ConfigError(f"{name} must be a whole number from 0, not {value!r}")


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown WebShop {option} {value!r}; {did_you_mean(str(value), known)}")
