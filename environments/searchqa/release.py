"""HotpotQA as its authors published it, and where to get it.

Sizes and SHA-256 are those that the catalogue of Hugging Face data sets states for the authors'
files. MuSiQue and 2WikiMultihopQA lie behind pages that no program can download from; their files
are read where a user puts them (see `original`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentrl.data import Check, DataFile, DataSource, Download, Fetched, Progress
from agentrl.environments.searchqa.original import convert
from agentrl.environments.searchqa.records import find_file, read_questions
from agentrl.errors import DataError
from agentrl.tasks import panel_digest

_HOST = "http://curtis.ml.cmu.edu/datasets/hotpot/"
_SAMPLE = "hotpotqa_100.jsonl"
_QUESTIONS: Mapping[str, int] = {"train": 90_447, "valid": 7_405}
_DOWNLOADS: Mapping[str, Download] = {
    "train": Download(
        "hotpot_train_v1.1.json",
        (f"{_HOST}hotpot_train_v1.1.json",),
        bytes=566_426_227,
        sha256="26650cf50234ef5fb2e664ed70bbecdfd87815e6bffc257e068efea5cf7cd316",
    ),
    "valid": Download(
        "hotpot_dev_distractor_v1.json",
        (f"{_HOST}hotpot_dev_distractor_v1.json",),
        bytes=46_320_117,
        sha256="4e9ecb5c8d3b719f624d66b60f8d56bf227f03914f5f0753d6fa1b359d7104ea",
    ),
}


def pack(downloads: Mapping[str, Fetched], target: Path, progress: Progress) -> None:
    """Fill an empty folder with the questions and the passages that come with them.

    Raises:
        DataError: A file is damaged.
    """
    progress.say("packing the questions and their passages; this takes minutes")
    files = {split: downloads[one.name].path for split, one in _DOWNLOADS.items()}
    convert("hotpotqa", files, target, is_packed=True)


def verify(folder: Path) -> tuple[Check, ...]:
    """Count the questions of each split, where the whole set is here and not a sample of it."""
    return tuple(_check(folder, split) for split in _QUESTIONS)


def _check(folder: Path, split: str) -> Check:
    file = find_file(folder, f"hotpotqa_{split}.jsonl")
    if file is None:
        if find_file(folder, _SAMPLE) is None:
            return Check(split, "missing")
        return Check(split, "unverified", note=f"{_SAMPLE} stands for it")
    try:
        rows = list(read_questions(file))
    except DataError as error:
        return Check(split, "different", note=str(error))
    digest = panel_digest({row.id: row.content for row in rows})
    note = f"{len(rows):,} questions"
    if len(rows) == _QUESTIONS[split]:
        return Check(split, "unverified", digest, note)
    return Check(split, "different", digest, f"{note}; {_QUESTIONS[split]:,} are known")


DATA = DataSource(
    name="hotpotqa",
    environment="searchqa",
    folder="searchqa",
    summary="HotpotQA: 97,852 two-hop questions with the passages that come with them",
    licence="HotpotQA, Yang et al. 2018, CC BY-SA 4.0; passages from Wikipedia, CC BY-SA.",
    files=(
        DataFile("hotpotqa_train.jsonl", "questions for training", stand_ins=(_SAMPLE,)),
        DataFile(
            "hotpotqa_valid.jsonl",
            "the published development questions",
            held_out=True,
            stand_ins=(_SAMPLE,),
        ),
        DataFile("hotpotqa_corpus.jsonl", "passages to search"),
        DataFile("musique_corpus.jsonl", "passages of MuSiQue", optional=True),
        DataFile("2wiki_corpus.jsonl", "passages of 2WikiMultihopQA", optional=True),
    ),
    downloads=tuple(_DOWNLOADS.values()),
    pack=pack,
    verify=verify,
    bytes=170_000_000,
)
