"""WebShop: buy the product that an instruction describes, in a shop of real products."""

from agentrl.environments.webshop.env import WebShop
from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.reward import Score
from agentrl.environments.webshop.session import Session
from agentrl.environments.webshop.shop import Shop, open_shop
from agentrl.environments.webshop.tasks import webshop_tasks

__all__ = ["Goal", "Score", "Session", "Shop", "WebShop", "open_shop", "webshop_tasks"]
