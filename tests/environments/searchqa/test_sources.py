"""Real questions: packed files, samples, original releases, several corpora, damage."""

from __future__ import annotations

import json
import lzma

import pytest

from agentrl.check import check_environment
from agentrl.environments.searchqa import SearchQA
from agentrl.environments.searchqa.records import QuestionRow
from agentrl.environments.searchqa.sources import Shelf, divide
from agentrl.errors import ConfigError, DataError, TaskError
from agentrl.tasks import panel_digest

pytest.importorskip("bm25s")


def make(folder, **options):
    return SearchQA(source="hotpotqa", data=folder, **options)


def test_packed_files(folder):
    env = make(folder, expert="oracle")
    assert {split: list(ids) for split, ids in env.tasks.splits.items()} == {
        "train": ["train/q1", "train/q2"],
        "valid": ["valid/q3"],
    }
    observation, info = env.reset(options={"task": "train/q1"})
    assert observation.startswith("At which school was the father of Ada Lovelace educated? Write")
    assert info["answer"] == "Harrow School"
    assert "admissible_actions" not in info
    observation, _, _, _, info = env.step("search[father of Ada Lovelace]")
    assert observation.splitlines()[0].startswith("Ada Lovelace: Ada Lovelace was an English")
    assert info["support_recall"] in (0.5, 1.0)
    _, reward, _, _, info = env.step("answer[The Harrow]")
    assert (reward, info["success"]) == (1.0, True), "any reference answer will do"


def test_the_oracle_and_the_number_of_results(folder):
    for results in (1, 2):
        env = make(folder, expert=True, results=results)
        _, info = env.reset(options={"task": "train/q2"})
        observation, *_ = env.step("search[Seine, capital of France]")
        assert len(observation.splitlines()) == results
        while "expert_action" in info:
            _, _, _, _, info = env.step(info["expert_action"])
        assert info["support_recall"] == info["exact_match"] == 1


def test_packing_and_plain_files_are_the_same(folder):
    panel = panel_of(make(folder))
    for file in list(folder.iterdir()):
        (folder / f"{file.name}.xz").write_bytes(lzma.compress(file.read_bytes()))
        file.unlink()
    copied = folder / "copy"
    copied.mkdir()
    for file in folder.glob("*.xz"):
        file.rename(copied / file.name)
    assert panel_of(make(copied)) == panel


def panel_of(env, split="train"):
    ids = env.tasks.ids(split)
    return panel_digest({task_id: env.tasks.fingerprint(task_id) for task_id in ids})


def test_where_to_search(folder):
    found = {}
    for corpus in ("own", "all", "question"):
        env = make(folder, corpus=corpus, results=50)
        env.reset(options={"task": "train/q1"})
        env.step("search[river Seine Thames Danube]")
        found[corpus] = {passage.title for passage in env.seen}
    assert found["own"] == {"Paris", "Seine", "London"}
    assert found["all"] == {"Paris", "Seine", "London", "Thames", "Danube"}
    assert found["question"] == set(), "four passages came with the question"
    panels = {panel_of(make(folder, corpus=corpus)) for corpus in found}
    assert len(panels) == 3, "figures on different corpora carry different names"


def test_own_passages_count_once_where_sets_share_them(folder):
    library = make(folder, corpus="all").tasks.at("train", 0).data.library
    assert len(library.passages) == len(set(library.passages)) == 10


def test_the_question_alone_needs_no_package(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    env = make(folder, corpus="question")
    env.reset(options={"task": "train/q1"})
    assert env.step("search[Lord Byron]")[0].startswith("Lord Byron: ")


def test_titles_that_several_passages_have(tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    rows = [{"title": "Paris", "text": "In France."}, {"title": "Paris", "text": "In Texas."}]
    write(other / "musique_corpus.jsonl", rows)
    row = {"id": "1", "question": "Where?", "answers": ["Texas"], "supporting": ["Paris"]}
    write(other / "musique_train.jsonl", [row])
    env = SearchQA(source="musique", data=other, corpus="question")
    env.reset(options={"task": "train/1"})
    observation, *_, info = env.step("search[Texas]")
    assert observation == "Paris: In Texas."
    assert info["support_recall"] == 1


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows(count, titles=lambda number: [f"A{number}", f"B{number}"]):
    return [
        QuestionRow(f"q{n}", f"Question {n}?", [f"answer {n}"], titles(n)) for n in range(count)
    ]


def test_a_sample_is_divided_by_content():
    found = divide(rows(400))
    assert {split: len(part) for split, part in found.items()} == pytest.approx(
        {"train": 160, "valid": 40, "test": 200}, rel=0.3
    )
    shuffled = divide(rows(400)[::-1])
    assert {s: {row.id for row in part} for s, part in found.items()} == {
        s: {row.id for row in part} for s, part in shuffled.items()
    }


def test_no_supporting_passage_is_on_two_sides():
    # A chain: each question shares a passage with the next, in blocks of five.
    linked = rows(200, lambda n: [f"T{n}", f"T{n + 1}"] if n % 5 < 4 else [f"T{n}", f"U{n}"])
    found = divide(linked)
    assert sum(map(len, found.values())) == 200
    titles = {s: {title for row in part for title in row.supporting} for s, part in found.items()}
    for one in titles:
        for other in titles:
            assert one == other or not titles[one] & titles[other]
    together = divide(rows(50, lambda n: ["Everywhere"]))
    assert [len(part) for part in together.values()] == [50]


def test_a_numbered_file_is_a_sample(folder):
    (folder / "hotpotqa_train.jsonl").rename(folder / "hotpotqa_100.jsonl")
    named = Shelf(folder, "hotpotqa").splits
    assert set(named) == {"valid"}, "files named after splits come first"
    (folder / "hotpotqa_dev.jsonl").unlink()
    found = Shelf(folder, "hotpotqa").splits
    assert {row.id for part in found.values() for row in part.values()} == {"q1", "q2"}


HOTPOT = {
    "_id": "5a8b57f25542995d1e6f1371",
    "answer": "Harrow School",
    "question": "Where was the father of Ada Lovelace educated?",
    "supporting_facts": [["Ada Lovelace", 0], ["Lord Byron", 1], ["Lord Byron", 0]],
    "context": [
        ["Ada Lovelace", ["She was a daughter.", " Her father was Lord Byron."]],
        ["Lord Byron", ["A poet.", " ", " He went to Harrow School."]],
        ["Harrow School", ["A school."]],
    ],
    "type": "bridge",
    "level": "hard",
}
MUSIQUE = {
    "id": "2hop__1_2",
    "paragraphs": [
        {
            "idx": 0,
            "title": "Ada Lovelace",
            "paragraph_text": "Her father was Byron.",
            "is_supporting": True,
        },
        {
            "idx": 1,
            "title": "Lord Byron",
            "paragraph_text": "He went to Harrow.",
            "is_supporting": True,
        },
        {"idx": 2, "title": "Paris", "paragraph_text": "A town.", "is_supporting": False},
    ],
    "question": "Where was the father of Ada Lovelace educated?",
    "question_decomposition": [],
    "answer": "Harrow School",
    "answer_aliases": ["Harrow"],
    "answerable": True,
}
WIKI2 = {**HOTPOT, "_id": "61a46987092f11ebbdaeac1f6bf848b6", "evidences": []}
del WIKI2["level"]


def release(folder, source):
    if source == "musique":
        write(folder / "musique_ans_v1.0_train.jsonl", [MUSIQUE, {**MUSIQUE, "answerable": False}])
        write(folder / "musique_ans_v1.0_dev.jsonl", [{**MUSIQUE, "id": "2hop__3_4"}])
        return
    row = HOTPOT if source == "hotpotqa" else WIKI2
    names = {
        "hotpotqa": ("hotpot_train_v1.1.json", "hotpot_dev_distractor_v1.json"),
        "2wiki": ("2wiki/train.json", "2wiki/dev.json"),
    }
    for name, number in zip(names[source], (1, 2), strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps([{**row, "_id": f"{row['_id']}{number}"}]))


@pytest.mark.parametrize("source", ["hotpotqa", "musique", "2wiki"])
@pytest.mark.parametrize("corpus", ["own", "question"])
def test_original_releases(tmp_path, source, corpus):
    release(tmp_path, source)
    env = SearchQA(source=source, data=tmp_path, corpus=corpus, expert="oracle")
    assert {split: len(ids) for split, ids in env.tasks.splits.items()} == {"train": 1, "valid": 1}
    question = env.tasks.at("train", 0).data
    assert question.supporting == ("Ada Lovelace", "Lord Byron")
    assert len(question.library.passages) == 3
    if source != "musique":
        assert question.library.passages[1].text == "A poet. He went to Harrow School."
    assert question.library.passages[1].text.endswith(("He went to Harrow School.", "to Harrow."))
    _, info = env.reset(options={"task": env.tasks.ids("valid")[0]})
    while "expert_action" in info:
        _, _, _, _, info = env.step(info["expert_action"])
    assert info["success"]
    if source == "musique":
        assert question.answers == ("Harrow School", "Harrow")


def test_a_changed_release_is_read_anew(tmp_path):
    release(tmp_path, "hotpotqa")
    assert Shelf(tmp_path, "hotpotqa").splits["train"]
    changed = {**HOTPOT, "_id": "other", "question": "Another one, and longer?"}
    (tmp_path / "hotpot_train_v1.1.json").write_text(json.dumps([changed]))
    assert list(Shelf(tmp_path, "hotpotqa").splits["train"]) == ["train/other"]


def test_packed_release_is_found_in_a_folder_of_its_own(tmp_path):
    (tmp_path / "hotpotqa").mkdir()
    release(tmp_path / "hotpotqa", "hotpotqa")
    assert set(Shelf(tmp_path, "hotpotqa").splits) == {"train", "valid"}


def test_missing_data(tmp_path, folder):
    with pytest.raises(DataError, match=r"no passages of hotpotqa in .*generated"):
        make(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no questions of musique in .*musique_train\.jsonl"):
        SearchQA(source="musique", data=folder)
    (folder / "2wiki_corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"no passages of 2wiki in .*corpus='own'"):
        make(folder, corpus="all")
    assert make(folder)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", r"train\.jsonl, line 2 is damaged"),
        (b'{"id": 7}', r"line 2 is damaged: Expected `str`"),
        (b"\xff\xfe", "line 2 is damaged"),
        (b'{"id": "x", "question": "Why?", "answers": [], "supporting": []}', "no answers"),
        (b'{"id": "x", "question": " ", "answers": ["a"], "supporting": []}', "no text"),
        (
            b'{"id": "a", "question": "Why?", "answers": ["a"], "supporting": []}',
            "an id twice",
        ),
    ],
)
def test_damaged_questions(folder, line, text):
    good = b'{"id": "a", "question": "Why?", "answers": ["a"], "supporting": []}'
    (folder / "hotpotqa_train.jsonl").write_bytes(good + b"\n" + line + b"\n")
    with pytest.raises(DataError, match=text):
        make(folder)


def test_damaged_files(folder):
    (folder / "hotpotqa_train.jsonl").rename(folder / "hotpotqa_train.jsonl.xz")
    with pytest.raises(DataError, match=r"hotpotqa_train\.jsonl\.xz is damaged"):
        make(folder)


def test_a_damaged_release_leaves_nothing_behind(tmp_path):
    release(tmp_path, "hotpotqa")
    file = tmp_path / "hotpot_dev_distractor_v1.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    with pytest.raises(DataError, match=r"hotpot_dev_distractor_v1\.json is damaged"):
        Shelf(tmp_path, "hotpotqa").splits  # noqa: B018 - reading is the point
    file.write_text(whole)
    assert set(Shelf(tmp_path, "hotpotqa").splits) == {"train", "valid"}


def test_unknown_tasks(folder):
    env = make(folder)
    with pytest.raises(TaskError, match=r"unknown task 'train/q9'; did you mean"):
        env.reset(options={"task": "train/q9"})
    with pytest.raises(TaskError, match="unknown split 'test'"):
        make(folder, split="test")
    with pytest.raises(ConfigError, match="expert='oracle'"):
        make(folder, expert="search")


@pytest.mark.needs_data
def test_the_real_questions(real_folder):
    env = SearchQA(source="hotpotqa", data=real_folder, corpus="all", expert="oracle")
    assert {split: len(ids) for split, ids in env.tasks.splits.items()} == {
        "train": 40,
        "valid": 10,
        "test": 50,
    }
    ids = [task_id for split in env.tasks.splits for task_id in env.tasks.ids(split)]
    library = env.tasks.get(ids[0]).data.library
    assert len(library.passages) == 9002
    for task_id in ids:
        _, info = env.reset(options={"task": task_id})
        while "expert_action" in info:
            _, _, _, _, info = env.step(info["expert_action"])
        assert (info["success"], info["support_recall"]) == (True, 1.0), task_id


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("corpus", "least"), [("own", (0.68, 0.75, 0.87)), ("all", (0.66, 0.73, 0.84))]
)
def test_support_recall_of_the_bare_question(real_folder, corpus, least):
    tasks = SearchQA(source="hotpotqa", data=real_folder, corpus=corpus).tasks
    questions = [tasks.get(one).data for split in tasks.splits for one in tasks.ids(split)]
    for count, bound in zip((3, 5, 10), least, strict=True):
        recall = 0.0
        for one in questions:
            found = one.library.search(one.text, count)
            titles = {one.library.passages[number].title for number in found}
            recall += sum(title in titles for title in one.supporting) / len(one.supporting)
        assert recall / len(questions) >= bound


@pytest.mark.needs_data
def test_the_checker_finds_nothing_on_real_questions(real_folder):
    options = {"source": "hotpotqa", "data": str(real_folder)}
    report = check_environment("searchqa", options=options, episodes=2, fuzz=100)
    assert report.problems == []
    assert report.figures["oracle_success"] == 1
