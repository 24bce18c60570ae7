"""The shop as web pages: a person plays the very episodes that agents play.

`agentrl play webshop --browser` serves `shop_app`. Whatever the person does becomes an action of a
`WebShop` environment of their own; the pages show what that environment shows.
"""

from agentrl.environments.webshop.browser.app import shop_app

__all__ = ["shop_app"]
