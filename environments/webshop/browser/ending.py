"""The last page: what was bought, and what the reward is made of."""

from __future__ import annotations

from agentrl.environments.webshop.browser.markup import Html, tag
from agentrl.environments.webshop.browser.visit import Visit
from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.prices import NO_BOUND
from agentrl.environments.webshop.reward import Score
from agentrl.trajectory import Outcome

_OUT_OF_TURNS = "Nothing was bought before the turns were used up, so there is no reward."


def ending(visit: Visit) -> Html:
    """Return what the last page of an episode says."""
    bought = visit.env.session.situation.score
    if bought is None or visit.item is None:
        return tag("div", tag("h1", "Out of turns"), tag("p", _OUT_OF_TURNS), _reward(0.0))
    solved = visit.outcome is Outcome.SUCCESS
    product, task = visit.item.product, visit.task
    chosen = ", ".join(f"{group}: {value}" for group, value in visit.item.chosen.items())
    return tag(
        "div",
        tag("h1", "Just what was asked for" if solved else "Thank you for shopping with us"),
        _reward(bought.reward),
        tag("p", "You bought ", tag("strong", product.title), f" ({product.asin})", class_="text"),
        tag("p", f"Options chosen: {chosen or 'none'}."),
        _parts(bought, task.goal, task.price_of(product)),
        class_="ending",
    )


def _reward(reward: float) -> Html:
    return tag("p", "Reward ", tag("strong", f"{reward:.3g}", id="reward"), " of 1", class_="score")


def _parts(score: Score, goal: Goal, price: float) -> Html:
    options = [one if isinstance(one, str) else f"{one[0]}: {one[1]}" for one in goal.options]
    limit = "no bound" if goal.price_upper >= NO_BOUND else f"below ${goal.price_upper:.2f}"
    rows = [
        _row("Kind of product", f"× {score.r_type:g}", _kind(score)),  # noqa: RUF001 - times
        _row("Attributes", f"{score.attribute_hits} of {score.attributes}", _list(goal.attributes)),
        _row("Options", f"{score.option_hits} of {score.options}", _list(options)),
        _row("Price", f"{int(score.r_price)} of 1", f"asked for: {limit}; this one: ${price:.2f}"),
    ]
    total = score.attributes + score.options + 1
    hits = score.attribute_hits + score.option_hits + score.r_price
    sum_up = f"{hits} of {total} points, times {score.r_type:g} for the kind: {score.reward:.3g}"
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Part", "Points", "Why")))
    table = tag(
        "table",
        tag("caption", "How the reward is made up"),
        tag("thead", head),
        tag("tbody", *rows),
    )
    return tag("div", table, tag("p", sum_up), class_="parts")


def _row(name: str, points: str, why: str) -> Html:
    return tag("tr", tag("th", name, scope="row"), tag("td", points), tag("td", why))


def _list(wanted: tuple[str, ...] | list[str]) -> str:
    return f"asked for: {'; '.join(wanted)}" if wanted else "none asked for"


def _kind(score: Score) -> str:
    if score.same_product:
        return "the very product that the instruction was written for"
    return (
        f"{score.title_score:.0%} of the nouns in its name are in yours; "
        f"found by the same search: {_yes(score.query_match)}; "
        f"same category: {_yes(score.category_match)}"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
