"""One episode in the shop: where the buyer is, and what an action leads to.

A situation never changes; an action leads to another one. So a snapshot is the situation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from agentrl.environments.webshop.actions import read_action
from agentrl.environments.webshop.body import (
    BACK,
    BUY,
    NEXT,
    PREVIOUS,
    SEARCH,
    SUB_PAGES,
)
from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.pages import (
    DonePage,
    ItemPage,
    Page,
    ResultsPage,
    SearchPage,
    SubPage,
)
from agentrl.environments.webshop.reward import Score
from agentrl.environments.webshop.shelf import Shelf

Place = Literal["search", "results", "item", "sub", "done"]
Judge = Callable[[Product, Mapping[str, str]], Score]
"""Returns what buying a product with some options is worth."""

_SUB_PAGES = {name.lower(): name for name in SUB_PAGES}


class Situation(NamedTuple):
    """All that decides how an episode goes on, but for the goal."""

    place: Place = "search"
    words: tuple[str, ...] = ()
    """The last search; none on the search page."""
    number: int = 1
    """The page of the results that was shown last, from 1."""
    item: int | None = None
    """The product that is open or was bought, by its number in the shop."""
    chosen: tuple[tuple[str, str], ...] = ()
    """Option group and value, in the order of the first choice."""
    sub: str = ""
    """Which text about the product is open."""
    visited: frozenset[str] = frozenset()
    """The products opened since the search page was last shown."""
    score: Score | None = None
    """What the purchase was worth."""


class Session:
    """A buyer with an instruction in the shop.

    Attributes:
        situation: Where the buyer is.
    """

    def __init__(
        self,
        shelf: Shelf,
        instruction: str,
        judge: Judge,
        *,
        seed: str = "",
        show_attributes: bool = False,
    ) -> None:
        """Enter the shop.

        Args:
            shelf: The shop.
            instruction: What is to be bought, in words.
            judge: Returns the reward for a purchase.
            seed: Decides what the search `<r>` (any products) shows.
            show_attributes: Show the button of the page of attributes.
        """
        self._shelf = shelf
        self._instruction = instruction
        self._judge = judge
        self._seed = seed
        self._show_attributes = show_attributes
        self.restore(Situation())

    def act(self, action: str) -> bool:
        """Carry out an action; return whether it meant anything here."""
        read = read_action(action)
        if read is None:
            return False
        if read.name == "search":
            return self.search(read.argument)
        return read.name == "click" and self.click(read.argument)

    def search(self, words: str) -> bool:
        """Search, from any page; return whether that was possible."""
        if not words or self.is_done:
            return False
        self._search(tuple(words.split(" ")), 1)
        return True

    def click(self, control: str) -> bool:
        """Click a control of the page, named as in `clickables`; return whether there is one."""
        if control not in self.clickables or control == SEARCH.lower():
            return False
        self._click(control)
        return True

    def restore(self, situation: Situation) -> None:
        """Go to a situation of this session."""
        self.situation = situation
        self.page = self._page()
        self.body = self.page.body

    @property
    def clickables(self) -> dict[str, str]:
        """Return what can be clicked, in the original's order, with the group of each option."""
        return self.body.controls

    @property
    def has_search_bar(self) -> bool:
        """Whether the page shows a search bar; a search works on every page all the same."""
        return self.situation.place == "search"

    @property
    def is_done(self) -> bool:
        """Whether something was bought."""
        return self.situation.place == "done"

    def key(self, *, with_visited: bool) -> str:
        """Return text that is equal exactly when the buyer's situation is equal.

        Searches that find the same are the same, unless quotes in one make an option look chosen.

        Args:
            with_visited: Whether visited products look different in the results.
        """
        now = self.situation
        found = self._shelf.find(now.words, self._seed).key if now.words else ""
        quoted = now.words if any('"' in word for word in now.words) else ()
        visited = sorted(now.visited) if with_visited else ()
        return repr((now.place, found, quoted, now.number, now.item, now.chosen, now.sub, visited))

    def _search(self, words: tuple[str, ...], number: int) -> None:
        visited = self.situation.visited
        self.restore(Situation("results", words, number, visited=visited))

    def _click(self, control: str) -> None:
        now = self.situation
        if control == BUY.lower():
            self._buy()
        elif control == BACK.lower():
            self.restore(Situation())
        elif control == NEXT.lower() and now.place == "results":
            self._search(now.words, now.number + 1)
        elif control == PREVIOUS.lower() and now.place == "results":
            self._search(now.words, now.number - 1)
        elif control == PREVIOUS.lower() and now.place == "sub":
            self.restore(now._replace(place="item", sub=""))
        elif control == PREVIOUS.lower() and now.place == "item":
            self._search(now.words, now.number)
        elif control in _SUB_PAGES:
            self.restore(now._replace(place="sub", sub=_SUB_PAGES[control]))
        elif now.place == "results":
            self._open(control)
        else:
            chosen = {**dict(now.chosen), self.clickables[control]: control}
            self.restore(now._replace(chosen=tuple(chosen.items())))

    def _open(self, control: str) -> None:
        now = self.situation
        assert isinstance(self.page, ResultsPage), "only results link to products"
        asin = next(asin for asin in self.page.body.asins if asin.lower() == control)
        visited, item = now.visited | {asin}, self._shelf.shop.products.find(asin)
        self.restore(now._replace(place="item", item=item, visited=visited))

    def _buy(self) -> None:
        now = self.situation
        assert now.item is not None, "only the page of a product sells it"
        product = self._shelf.item(now.item, self._show_attributes).product
        score = self._judge(product, dict(now.chosen))
        self.restore(now._replace(place="done", score=score))

    def _page(self) -> Page:
        now, instruction = self.situation, self._instruction
        if now.place == "search":
            return SearchPage(instruction)
        if now.place == "results":
            listing = self._shelf.listing(now.words, self._seed, now.number)
            return ResultsPage(instruction, now.words, listing)
        assert now.item is not None, "this page is about a product"
        item, chosen = self._shelf.item(now.item, self._show_attributes), dict(now.chosen)
        if now.place == "item":
            return ItemPage(instruction, now.words, now.number, item, chosen)
        if now.place == "sub":
            return SubPage(instruction, now.words, now.number, item.product, chosen, now.sub)
        assert now.score is not None, "the episode ends with a purchase"
        return DonePage(item.product.asin, chosen, now.score.reward)
