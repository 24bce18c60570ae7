"""The web application: three addresses, all state on this side.

`GET /` shows where the person is. `POST /act` searches or clicks, `POST /task` goes on to another
task; both answer with a redirect to `/`, so a reload repeats nothing. Each form carries the mark of
the page it stood on: a form of an older page (browser's Back, a second tab, a double click) is
answered with the current page and a note, and never carried out.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection
from importlib import resources
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from agentrl.environments.webshop.browser.guard import LOOPBACK, Guard
from agentrl.environments.webshop.browser.view import document
from agentrl.environments.webshop.browser.visit import STALE, Visit
from agentrl.environments.webshop.browser.visits import MOST_VISITS, Visits
from agentrl.environments.webshop.env import WebShop
from agentrl.errors import AgentRLError
from agentrl.trajectory import Trajectory

LONGEST_FORM = 16_384
"""Bytes; a longer one is refused."""
_FORGOTTEN = "Your visit was forgotten, so this is a new one."
_STYLE = resources.files(__package__).joinpath("style.css")
_log = logging.getLogger(__name__)


def shop_app(
    make: Callable[[], WebShop],
    *,
    task: str | None = None,
    seed: int | None = None,
    hosts: Collection[str] = LOOPBACK,
    record: Callable[[Trajectory], None] | None = None,
    limit: int = MOST_VISITS,
) -> Starlette:
    """Return the shop as an ASGI application.

    Args:
        make: Returns an environment for each visit.
        task: The task each visit begins with; None draws one.
        seed: Seeds the draw of tasks of each visit.
        hosts: The names under which the shop may be asked, without port.
        record: Is given each finished episode.
        limit: How many visits are remembered.
    """
    visits = Visits(lambda: Visit(make(), task=task, seed=seed), limit)
    desk = _Desk(visits, record)
    return Starlette(
        routes=[
            Route("/", desk.show),
            Route("/act", desk.act, methods=["POST"]),
            Route("/task", desk.change_task, methods=["POST"]),
            Route("/style.css", _style),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
    )


class _Desk:
    """Answers requests; one at a time, for no step waits for anything."""

    def __init__(self, visits: Visits, record: Callable[[Trajectory], None] | None) -> None:
        self._visits = visits
        self._record = record
        # Cookies know no ports: another shop on this machine must not take ours.
        self._cookie = f"webshop-{secrets.token_hex(4)}"

    async def show(self, request: Request) -> Response:
        """Show the current page, in a new visit where there is none."""
        visit = self._visits.find(request.cookies.get(self._cookie))
        key = ""
        if visit is None:
            key, visit = self._visits.start()
        response = HTMLResponse(document(visit))
        visit.note = ""
        return self._with_cookie(response, key)

    async def act(self, request: Request) -> Response:
        """Search or click."""
        form = await _form(request)
        visit, response = self._visit(request, form)
        if visit is None:
            return response
        if visit.outcome is not None:
            visit.note = STALE
            return response
        if "search" in form:
            visit.search(form["search"])
        else:
            visit.click(form.get("click", ""))
        if visit.outcome is not None:
            self._save(visit)
        return response

    async def change_task(self, request: Request) -> Response:
        """Begin the same task again, or another."""
        form = await _form(request)
        visit, response = self._visit(request, form)
        if visit is not None:
            visit.begin(visit.task_id if form.get("task") == "again" else None)
        return response

    def _visit(self, request: Request, form: dict[str, str]) -> tuple[Visit | None, Response]:
        """Return the visit if the form stood on its current page, and where to go on."""
        response = RedirectResponse("/", status_code=303)
        visit = self._visits.find(request.cookies.get(self._cookie))
        if visit is None:
            key, visit = self._visits.start()
            visit.note = _FORGOTTEN
            return None, self._with_cookie(response, key)
        if form.get("mark") != visit.mark:
            visit.note = STALE
            return None, response
        return visit, response

    def _save(self, visit: Visit) -> None:
        if self._record is None:
            return
        try:
            self._record(visit.trajectory())
            visit.note = "This episode was saved."
        except (AgentRLError, OSError) as error:
            _log.warning("an episode could not be saved: %s", error)
            visit.note = f"This episode could not be saved: {error}"

    def _with_cookie(self, response: Response, key: str) -> Response:
        if key:
            # Lax: a link from elsewhere finds the visit, a form from elsewhere does not.
            response.set_cookie(self._cookie, key, httponly=True, samesite="lax")
        return response


async def _style(_request: Request) -> Response:
    return Response(_STYLE.read_bytes(), media_type="text/css")


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of a field given twice the last."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, "This form is too long.")
    fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True, errors="replace")
    return dict(fields)
