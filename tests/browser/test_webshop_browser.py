"""A person plays WebShop in headless Chromium, without scripts, by clicking."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect

from agentrl import registry, storage
from agentrl.cli.browser import _listen, _recorder
from agentrl.environments.webshop.browser import shop_app

KINDS = ("kettle", "lamp", "sofa", "shirt")
HOSTILE = '<img src="x" onerror="document.title=\'broken in\'"> & <b>bold</b>'


def record(number: int) -> dict[str, Any]:
    """One product of a small shop; every text of it is hostile."""
    kind = KINDS[number % 4]
    sizes = [{"value": value, "image": None} for value in ("Small", "Large", 'x"l')]
    return {
        "asin": f"B0{number:08d}",
        "name": f"{kind.title()} for the Home, Model {number} {HOSTILE}",
        "full_description": f"A {kind}. {HOSTILE}",
        "small_description": [f"Sturdy {kind}", HOSTILE],
        "pricing": f"${number + 5}.50",
        "category": "garden",
        "query": f"{kind}s for the home",
        "product_category": f"Home › {kind.title()}s",  # noqa: RUF001 - the mark itself
        "images": ["https://example.com/1.jpg"],
        "customization_options": {"size": sizes},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shop = tmp_path_factory.mktemp("shop")
    records = [record(number) for number in range(1, 41)]
    labels = {
        one["asin"]: {
            "attributes": ["sturdy"],
            "instruction": f"Find me sturdy {one['query']}",
            "instruction_attributes": ["sturdy"],
        }
        for one in records
    }
    (shop / "items_shuffle.json").write_text(json.dumps(records))
    (shop / "items_ins_v2.json").write_text(json.dumps(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield shop


@pytest.fixture(scope="module")
def task(folder: Path) -> str:
    """Return a task that asks for a large one."""
    tasks = registry.make("webshop", data=str(folder)).tasks
    ids = (tasks.at("train", place).id for place in range(tasks.size("train")))
    return next(one for one in ids if ("size", "large") in tasks.get(one).data.goal.options)


@pytest.fixture
def address(folder: Path, task: str, tmp_path: Path) -> Iterator[str]:
    def make() -> Any:
        return registry.make("webshop", data=str(folder))

    app = shop_app(make, task=task, record=_recorder("webshop", tmp_path))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_level="warning"))
    with _listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    tab = context.new_page()
    tab.elsewhere = []
    tab.on("request", lambda request: tab.elsewhere.append(request.url))
    tab.goto(address)
    yield tab
    context.close()


def title_of(folder: Path, task: str) -> str:
    env = registry.make("webshop", data=str(folder))
    return str(env.tasks.get(task).data.goal.name)


def test_a_task_is_played_by_clicking_to_reward_1(
    page: Any, folder: Path, task: str, address: str, tmp_path: Path
) -> None:
    title = title_of(folder, task)
    page.get_by_label("Words to search for").fill(title.partition(" <")[0])
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("button", name=title, exact=True).click()
    page.get_by_role("button", name="Features").click()
    expect(page.get_by_role("listitem").filter(has_text="Sturdy")).to_be_visible()
    page.get_by_role("button", name="< Prev").click()
    page.get_by_role("button", name="large", exact=True).click()
    assert page.locator("[aria-pressed=true]").inner_text() == "large"
    page.get_by_role("button", name="Buy Now").click()
    assert page.locator("#reward").inner_text() == "1"
    assert page.get_by_role("heading", level=1).inner_text() == "Just what was asked for"
    (saved,) = storage.read(tmp_path / "episodes.jsonl")
    assert saved.success
    assert saved.task_id == task
    assert len(saved.turns) == 6
    page.get_by_role("button", name="Next task").click()
    expect(page.get_by_text("0 of 15 turns used")).to_be_visible()
    assert all(url.startswith(address) for url in page.elsewhere)


def test_the_browsers_back_button_repeats_nothing(page: Any, address: str) -> None:
    page.get_by_label("Words to search for").fill("lamp")
    page.get_by_role("button", name="Search", exact=True).click()
    first = page.get_by_role("listitem").get_by_role("button").first
    first.click()
    expect(page.get_by_text("2 of 15 turns used")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("2 of 15 turns used").or_(page.get_by_text("1 of 15"))).to_be_visible()
    page.reload()
    expect(page.get_by_text("2 of 15 turns used")).to_be_visible()


def test_an_older_tab_is_answered_with_the_current_page(page: Any, address: str) -> None:
    older = page.context.new_page()
    older.goto(address)
    page.get_by_label("Words to search for").fill("lamp")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("1 of 15 turns used")).to_be_visible()
    older.get_by_label("Words to search for").fill("sofa")
    older.get_by_role("button", name="Search", exact=True).click()
    assert older.get_by_role("status").inner_text().startswith("That page was out of date")
    expect(older.get_by_text("1 of 15 turns used")).to_be_visible()


@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    for turn, act in enumerate(("Search", "Model", "large"), 1):
        if act == "Search":
            page.get_by_label("Words to search for").fill("w" * 300 + " lamp")
        page.get_by_role("button", name=act).first.click()
        expect(page.get_by_text(f"{turn} of 15 turns used")).to_be_visible()
        size = page.locator("html").bounding_box()
        assert size is not None
        assert size["width"] <= width
        main = page.locator("main").bounding_box()
        assert main is not None
        assert main["x"] + main["width"] <= width
        expect(page.locator("#instruction")).to_be_in_viewport()
