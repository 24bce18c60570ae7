"""ALFWorld, played natively: household tasks in text, generated without data or official."""

from agentrl.environments.alfworld.engine import Engine
from agentrl.environments.alfworld.env import AlfWorld
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.generate import generate
from agentrl.environments.alfworld.levels import LEVELS, Level
from agentrl.environments.alfworld.planner import Planner
from agentrl.environments.alfworld.search_expert import SearchExpert
from agentrl.environments.alfworld.tasks import split_game

__all__ = [
    "LEVELS",
    "AlfWorld",
    "Engine",
    "Game",
    "Level",
    "Planner",
    "SearchExpert",
    "generate",
    "split_game",
]
