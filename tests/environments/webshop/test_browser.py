"""The shop in a browser, without one: what is served, refused, escaped and remembered."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from agentrl import registry, storage
from agentrl.environments.webshop.browser import shop_app
from agentrl.environments.webshop.browser.app import LONGEST_FORM
from agentrl.environments.webshop.browser.markup import Html, join, tag
from agentrl.environments.webshop.browser.visit import NO_SUCH_CONTROL, STALE, UNKNOWN
from agentrl.errors import DataError
from agentrl.trajectory import Outcome

HOME = "http://127.0.0.1:8000"
OURS = {"Origin": HOME}


class Reader(HTMLParser):
    """What a page offers and says."""

    def __init__(self, html):
        super().__init__()
        self.buttons, self.disabled, self.said, self.tags = {}, [], "", []
        self.mark, self._button = "", None
        self.feed(html)
        self.said = " ".join(self.said.split())

    def handle_starttag(self, name, pairs):
        attributes = dict(pairs)
        self.tags.append((name, attributes))
        if attributes.get("name") == "mark":
            self.mark = attributes["value"]
        if name == "button":
            self._button = attributes

    def handle_endtag(self, name):
        if name == "button":
            self._button = None

    def handle_data(self, data):
        self.said += f" {data}"
        if self._button is not None and "disabled" in self._button:
            self.disabled.append(data)
        elif self._button is not None and self._button.get("name") == "click":
            self.buttons.setdefault(int(self._button["value"]), []).append(data)


class Person:
    """A browser's side: a client, and the page it shows."""

    def __init__(self, app):
        self.client = TestClient(app, base_url=HOME)
        self.look()

    def look(self):
        self.response = self.client.get("/")
        self.page = Reader(self.response.text)
        return self.page

    def send(self, address="/act", mark=None, **fields):
        fields["mark"] = self.page.mark if mark is None else mark
        response = self.client.post(address, data=fields, headers=OURS)
        assert response.status_code == 200, response.text
        self.page = Reader(response.text)
        return self.page

    def click(self, label):
        number = next(n for n, labels in self.page.buttons.items() if label in labels)
        return self.send(click=str(number))


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(shop_folder, made):
    def build(**options):
        env = registry.make("webshop", data=str(shop_folder), expert="oracle", **options)
        made.append(env)
        return env

    return build


@pytest.fixture
def person(make):
    return Person(shop_app(make))


def peculiar(person):
    person.send(search="peculiar vase")
    return person.click('Peculiar <i>Vase</i> & Friends\' "Best" ☃')


def play_as(person, env):
    """Do what the environment's expert says until the episode ends."""
    while (action := env.expert_action()) is not None:
        if action.startswith("search["):
            person.send(search=action[7:-1])
        else:
            person.send(click=str(env.session.body.clicks.index(action)))


def plain_task(make):
    """Return a task that the expert solves: not of the peculiar vase."""
    tasks = make().tasks
    ids = [tasks.at("train", place).id for place in range(tasks.size("train"))]
    return next(one for one in ids if tasks.get(one).data.goal.asin != "B0000000XY")


def test_a_task_is_played_to_its_end_and_recorded(make, made):
    records = []
    person = Person(shop_app(make, task=plain_task(make), record=records.append))
    play_as(person, made[-1])
    assert "Just what was asked for" in person.page.said
    assert "Reward 1 of 1" in person.page.said
    assert "This episode was saved." in person.page.said
    (trajectory,) = records
    assert trajectory.outcome is Outcome.SUCCESS
    again = make()
    observation, info = again.reset(options={"task": trajectory.task_id})
    for turn in trajectory.turns:
        assert turn.observation == observation
        assert turn.state_key == info["state_key"]
        observation, reward, _, _, info = again.step(turn.action)
        assert turn.reward == reward
    assert trajectory.final_observation == observation
    assert trajectory.reward == 1.0


def test_a_record_survives_its_file(make, made, tmp_path):
    def record(trajectory):
        storage.write(tmp_path / "one.jsonl", [trajectory])

    person = Person(shop_app(make, task=plain_task(make), record=record))
    play_as(person, made[-1])
    (read,) = storage.read(tmp_path / "one.jsonl")
    assert read.success
    assert read.turns[0].action.startswith("search[")
    assert read.metrics["r_price"] == 1.0


def test_each_page_offers_exactly_what_the_environment_does(person, made):
    env, checked = made[0], 0
    steps = ["Features", "< Prev", "three", "Description", "< Prev", "<b>bold & 'more'", "< Prev"]
    peculiar(person)
    for label in [*steps, "Next >", "< Prev", "Back to Search"]:
        assert sorted(person.page.buttons) == list(range(len(env.session.body.clicks)))
        for mark in env.session.body.shown:
            assert " ".join(mark.text.split()) in person.page.said
        person.click(label)
        checked += 1
    assert checked == 10
    assert len(env.session.body.clicks) == len(person.page.buttons) == 0


def test_chosen_options_show_and_unnameable_ones_are_off(person, made):
    peculiar(person)
    page = person.click("three")
    pressed = [a for name, a in page.tags if name == "button" and a.get("aria-pressed") == "true"]
    assert len(pressed) == 1
    assert "chosen: three" in page.said
    assert page.disabled == ["a [b]"]
    assert dict(made[0].session.situation.chosen) == {"fit type": "three"}


def test_texts_of_the_catalogue_and_of_the_person_are_escaped(person):
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x00\u202e"
    person.send(search=attack)
    peculiar_page = [person.look(), person.send(search="vase")]
    peculiar_page += [peculiar(person), person.click("Features")]
    for page in peculiar_page:
        names = {name for name, _ in page.tags}
        assert not names & {"script", "img", "i", "b", "iframe", "style"}
        assert not [a for _, a in page.tags if any(key.startswith("on") for key in a)]
    assert "<script>alert(1)</script>" in peculiar_page[-1].said


def test_nothing_is_loaded_from_elsewhere(person):
    peculiar(person)
    for _, attributes in person.page.tags:
        for key in ("src", "href", "action"):
            assert attributes.get(key, "/").startswith("/")
    policy = person.response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    style = person.client.get("/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_markup_escapes_all_but_html():
    assert tag("p", "<b>", Html("<b>"), title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;<b></p>'
    assert join("&\ud800\x01", tag("input", name="a", disabled=True, hidden=False)) == (
        "&amp;\ufffd\ufffd" + '<input name="a" disabled>'
    )
    assert not isinstance(Html("<b>") + "<i>", Html)


def test_a_stale_form_is_never_carried_out(person, made):
    first = person.page.mark
    person.send(search="lamp")
    turns = person.page.mark
    page = person.send(mark=first, search="sofa")
    assert STALE in page.said
    assert page.mark == turns
    assert made[0].session.situation.words == ("lamp",)
    assert STALE not in person.look().said
    assert STALE in person.send("/task", mark=first, task="next").said


@pytest.mark.parametrize("number", ["99", "-1", "x", "", "1" * 5000, "¹"])
def test_a_click_on_nothing_costs_no_turn(person, number):
    person.send(search="lamp")
    before = person.page.mark
    page = person.send(click=number)
    assert NO_SUCH_CONTROL in page.said
    assert page.mark == before


@pytest.mark.parametrize("words", ["", "\n", "a\nb]", "]" * 3000, "[" * 3000, "😀\ud800".encode(
    "utf-8", "surrogatepass").decode("latin-1"), "\x00"])  # fmt: skip
def test_hostile_words_cost_a_turn_and_no_more(person, words):
    page = person.send(search=words)
    assert "1 of 15 turns used" in page.said
    assert ("Total results" in page.said) != (UNKNOWN in page.said)


def test_out_of_turns(make):
    person = Person(shop_app(lambda: make(max_turns=2)))
    person.send(search="lamp")
    page = person.send(search="x") if page_has_search(person) else person.click("Back to Search")
    assert "Out of turns" in page.said
    assert "Reward 0 of 1" in page.said
    mark = page.mark
    assert person.send(search="more").mark == mark
    assert person.send("/task", task="again").mark == "2.0"


def page_has_search(person):
    return any(attributes.get("id") == "search" for _, attributes in person.page.tags)


def test_another_task_and_the_same_again(make, made):
    person = Person(shop_app(make, seed=1))
    task = made[0].task.id
    person.send(search="lamp")
    assert "0 of 15 turns" in person.send("/task", task="again").said
    assert made[0].task.id == task
    for _ in range(5):
        person.send("/task", task="next")
    assert made[0].task.id != task or made[0].tasks.size("train") == 1


def test_an_episode_is_saved_once_and_a_full_disk_ends_nothing(make, made):
    tried = []

    def record(trajectory):
        tried.append(trajectory)
        raise DataError("cannot write: no space")

    person = Person(shop_app(make, record=record))
    play_as(person, made[0])
    assert "could not be saved: cannot write: no space" in person.page.said
    person.send(search="more")
    assert len(tried) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Host": "127.0.0.1:8000@evil.example"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_foreign_requests_are_refused(person, made, headers):
    response = TestClient(person.client.app, base_url=HOME).get("/", headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert len(made) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "LOCALHOST", "[::1]:80", "[::1]"])
def test_names_of_this_machine_are_answered(person, host):
    assert person.client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused(person, made, headers):
    form = {"mark": person.page.mark, "search": "lamp"}
    for address in ("/act", "/task"):
        assert person.client.post(address, data=form, headers=headers).status_code == 403
    assert made[0].session.has_search_bar


def test_the_cookie_is_kept_from_scripts_and_other_sites(person):
    cookie = person.response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert len(re.search(r"=([^;]+)", cookie).group(1)) >= 43
    assert person.response.headers["cache-control"] == "no-store"


def test_people_do_not_share_a_game_and_a_guessed_key_is_worth_nothing(make):
    app = shop_app(make)
    one, other = Person(app), Person(app)
    one.send(search="lamp")
    assert "0 of 15 turns" in other.look().said
    name = next(iter(one.client.cookies))
    guess = TestClient(app, base_url=HOME, cookies={name: "guess"})
    assert "0 of 15 turns" in Reader(guess.get("/").text).said


def test_visits_are_bounded_and_games_being_played_outlive_a_flood(make, made):
    app = shop_app(make, limit=3)
    player = Person(app)
    player.send(search="lamp")
    flood = [Person(app) for _ in range(8)]
    assert "1 of 15 turns" in player.look().said
    assert "Your visit was forgotten" in flood[0].send(search="lamp").said
    assert len(made) == 10


def test_other_methods_paths_and_endless_forms(person):
    assert person.client.get("/act").status_code == 405
    assert person.client.get("/../etc/passwd").status_code == 404
    assert person.client.put("/", headers=OURS).status_code == 405
    endless = b"search=" + b"a" * LONGEST_FORM
    assert person.client.post("/act", content=endless, headers=OURS).status_code == 413
    odd = b"\xff\xfe%ff%00&&==mark"
    assert person.client.post("/act", content=odd, headers=OURS).status_code == 200
