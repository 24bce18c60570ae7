"""Multi-hop question answering with a search engine, as a text environment."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from agentrl.data import data_root
from agentrl.env import Step, TextEnv
from agentrl.environments.searchqa.actions import answer, read_action, search
from agentrl.environments.searchqa.expert import oracle_move, search_move
from agentrl.environments.searchqa.levels import Difficulty
from agentrl.environments.searchqa.library import Passage
from agentrl.environments.searchqa.question import Question
from agentrl.environments.searchqa.scoring import Score, normalise, score
from agentrl.environments.searchqa.tasks import Corpus, generated_tasks, real_tasks
from agentrl.errors import ConfigError, did_you_mean
from agentrl.tasks import Task

Source = Literal["generated", "hotpotqa", "musique", "2wiki"]
ExpertName = Literal["search", "oracle"]
RewardName = Literal["exact_match", "f1", "squad_f1"]

HINT = "Write search[words] to look something up, then answer[words]."
NOTHING = "Nothing found."
NO_ACTION = f"That is no action. {HINT}"
RIGHT, WRONG = "Right.", "Wrong."

_MOST_RESULTS = 100
_RESULTS = {"generated": 2}
_MANY_RESULTS = 3


class _Situation(NamedTuple):
    """All that decides how an episode goes on, but for the question."""

    seen: frozenset[int] = frozenset()
    """The passages shown so far, by position."""
    prediction: str | None = None
    """What was answered."""
    score: Score = Score()


class SearchQA(TextEnv):
    """Questions that take several searches: `search[words]` shows passages, `answer[words]` ends.

    The reward comes with the answer, from 0 to 1; it is a success when it matches exactly.
    """

    max_turns: int | None = 10
    answer_template: str | None = "answer[{answer}]"

    def __init__(
        self,
        *,
        source: Source = "generated",
        difficulty: Difficulty = (1, 2, 3, 4),
        expert: ExpertName | bool | None = None,
        reward: RewardName = "exact_match",
        results: int | None = None,
        corpus: Corpus = "own",
        data: str | Path | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose the questions.

        Args:
            source: `generated` needs no data; the others read those data sets.
            difficulty: Hops of generated questions, from 1 to 4, a `Level`, or several to be mixed.
            expert: When set, info carries `expert_action`: `search` knows only what was shown
                (generated questions only), `oracle` knows the supporting passages and the answer.
                True takes the first of them that the source has.
            reward: What an answer pays.
            results: Passages a search shows; by default 2 of generated ones and 3 of real ones.
            corpus: Where real questions are searched for: the data set's `own` passages, `all` of
                the three data sets, or the few that came with the `question`.
            data: The folder with the data sets; by default `searchqa` in `AGENTRL_DATA`.
            split: The split that `reset` draws from when no task is named.
            max_turns: Overrides the limit of 10 turns.
            render_mode: None or "ansi".

        Raises:
            ConfigError: An option has an unknown value.
            DataError: The data are missing or damaged.
            TaskError: No such split.
            MissingExtraError: bm25s is needed and not installed.
        """
        _check("source", source, get_args(Source))
        _check("reward", reward, get_args(RewardName))
        _check("corpus", corpus, get_args(Corpus))
        self._expert = _expert_name(expert, source)
        if results is None:
            results = _RESULTS.get(source, _MANY_RESULTS)
        if isinstance(results, bool) or not isinstance(results, int) or results < 1:
            raise ConfigError(f"results must be a whole number from 1, not {results!r}")
        if source == "generated":
            self.tasks = generated_tasks(difficulty)
        else:
            folder = Path(data) if data is not None else data_root() / "searchqa"
            self.tasks = real_tasks(source, corpus, folder.resolve())
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self._reward = reward
        self._results = min(results, _MOST_RESULTS)
        self._now = _Situation()

    @property
    def question(self) -> Question:
        """Return the question being asked."""
        assert self.task is not None, "call reset first"
        question: Question = self.task.data
        return question

    @property
    def seen(self) -> list[Passage]:
        """Return the passages shown so far, in the library's order."""
        passages = self.question.library.passages
        return [passages[number] for number in sorted(self._now.seen)]

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Ask the question."""
        del rng
        self._now = _Situation()
        question: Question = task.data
        return f"{question.text} {HINT}"

    def on_step(self, action: str) -> Step:
        """Search or answer."""
        read = read_action(action)
        if read is None:
            return self.invalid(NO_ACTION)
        if read.verb == "search":
            return self._search(read.argument)
        worth = score(read.argument, self.question.answers)
        self._now = self._now._replace(prediction=read.argument, score=worth)
        reward = float(getattr(worth, self._reward))
        if worth.exact_match:
            return self.success(RIGHT, reward)
        return self.failure(WRONG, reward)

    def admissible_actions(self) -> list[str] | None:
        """Return a search for, and an answer with, each name met so far; None for real questions.

        Any other words can be searched for and answered, too. A name without a passage of its own,
        such as a country, is no search that is listed.
        """
        names = self.question.names
        if names is None:
            return None
        if self._now.prediction is not None:
            return []
        met = sorted({name for number in (-1, *self._now.seen) for name in names[number]})
        searches = [search(name) for name in met if name in self.question.searchable]
        return searches + [answer(name) for name in met]

    def state_key(self) -> str:
        """Return text that is equal exactly when question, passages seen and answer are equal."""
        assert self.task is not None
        now = self._now
        said = None if now.prediction is None else normalise(now.prediction)
        text = repr((self.task.id, sorted(now.seen), said, now.score))
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]

    def answer(self) -> str:
        """Return the main reference answer."""
        return self.question.answers[0]

    def expert_action(self) -> str | None:
        """Return what the chosen expert would do now."""
        if self._expert == "search":
            return search_move(self.question.text, self.seen)
        if self._expert == "oracle":
            return oracle_move(self.question, frozenset(passage.title for passage in self.seen))
        return None

    def metrics(self) -> dict[str, float]:
        """Return what searches have found so far and what the answer, if any, was worth."""
        worth = self._now.score
        return {
            "support_recall": self.support_recall(),
            "f1": worth.f1,
            "squad_f1": worth.squad_f1,
        }

    def support_recall(self) -> float:
        """Return the share of the supporting passages' titles that searches have shown."""
        wanted = self.question.supporting
        titles = {passage.title for passage in self.seen}
        return sum(title in titles for title in wanted) / len(wanted) if wanted else 1.0

    def snapshot_state(self) -> Any:
        """Return the situation, which never changes."""
        return self._now

    def restore_state(self, state: Any) -> None:
        """Bring back a situation."""
        self._now = state

    def _search(self, words: str) -> Step:
        library = self.question.library
        found = library.search(words, self._results)
        if not found:
            return self.observe(NOTHING)
        self._now = self._now._replace(seen=self._now.seen.union(found))
        return self.observe("\n".join(str(library.passages[number]) for number in found))

    def _info(self) -> dict[str, Any]:
        info = super()._info()
        info["support_recall"] = self.support_recall()
        is_cut = self.max_turns is not None and self._turns >= self.max_turns
        if self._last.terminated or is_cut:
            info |= self._now.score._asdict()
        return info


def _expert_name(expert: object, source: str) -> str | None:
    """Return which expert an option means."""
    is_generated = source == "generated"
    if expert is True:
        return "search" if is_generated else "oracle"
    if expert is None or expert is False:
        return None
    _check("expert", expert, get_args(ExpertName))
    if expert == "search" and not is_generated:
        raise ConfigError(
            f"expert='search' reads generated texts only, not those of {source!r}; "
            "use expert='oracle'"
        )
    return str(expert)


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(
            f"unknown search-QA {option} {value!r}; {did_you_mean(str(value), known)}"
        )
