"""TextWorld: text adventures from its generators, played by its real engine."""

from agentrl.environments.textworld.challenges import CHALLENGES
from agentrl.environments.textworld.env import TextWorld
from agentrl.environments.textworld.tasks import prepare

__all__ = ["CHALLENGES", "TextWorld", "prepare"]
