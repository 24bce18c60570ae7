"""Multi-hop question answering with search and answer, generated without data or real."""

from agentrl.environments.searchqa.env import SearchQA
from agentrl.environments.searchqa.generate import generate
from agentrl.environments.searchqa.levels import LEVELS, Level
from agentrl.environments.searchqa.scoring import Score, score
from agentrl.environments.searchqa.tasks import split_question

__all__ = ["LEVELS", "Level", "Score", "SearchQA", "generate", "score", "split_question"]
