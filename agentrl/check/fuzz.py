"""Is hostile model output answered, and never raised?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from agentrl.check.contract import is_unicode
from agentrl.check.play import NOISE, Frame, act, brief, start
from agentrl.check.report import Finding
from agentrl.check.subject import Subject

_SLOW_SECONDS = 5.0
_LONG = 100_000

_FIXED: tuple[str, ...] = (
    "", " ", "\n", "\t\t", "\x00", "\x1b[2J\x1b[31m", "\x07" * 10, "\x7f\x80\x9f", "\r\n\r\n",
    "\ud800", "take \udfff", "\ud83d", "\ufeff", "\u202e tfel ot thgir", "\u200b\u200d", "\uffff",
    "打开抽屉", "открой дверь", "افتح الباب", "दरवाज़ा खोलो", "문을 열어", "🔑🚪👩\u200d👧",
    "e\u0301" * 50,
    "٣", "²", "①", "0x1F", "1e999", "-0", "9" * 400, "1_000", "½", "nan", "inf", "None", "null",
    "%s%s%n", "{0} {} {name}", "${HOME} $(id) `id`", "../../etc/passwd", "'; DROP TABLE tasks; --",
    "<action>", "</action></think>", "<|im_end|>", "[INST]", '{"action": ', '{"a": [[[[', "]]]]",
    "\\", "\\N{SNOWMAN}", '"""', "'", "(((((", "a" * 64 + "!", "[" * 500, "go to", "go to ",
    "take from", "take x from y from z", "Action: \nAction: \nAction:", "__import__('os')", "True",
)  # fmt: skip

_CLASSES: tuple[tuple[int, int], ...] = (
    (0x00, 0x1F), (0x20, 0x7E), (0x80, 0x24F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F),
    (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF), (0xD800, 0xDFFF), (0x2000, 0x206F),
)  # fmt: skip

_EDITS: tuple[Callable[[str], str], ...] = (
    str.upper, str.title, str.swapcase, lambda t: f" {t} ", lambda t: t[:-1], lambda t: t[1:],
    lambda t: t.replace(" ", "  "), lambda t: f"{t}.", lambda t: f"{t}\n{t}", lambda t: t + "\x00",
    lambda t: t[::-1], lambda t: t.replace(" ", "\u00a0"), lambda t: f"> {t}", lambda t: t * 30,
    lambda t: t.replace("1", "99999999999999999999"), lambda t: t.replace(" ", ""),
)  # fmt: skip


def check_fuzz(subject: Subject) -> Finding:
    """Send empty, huge, garbled and foreign text, and damaged copies of admissible actions."""
    finding = Finding("hostile actions", "a model writes anything; an exception loses the episode")
    rng = subject.rng("fuzz")
    env = subject.make()
    task_ids = subject.task_ids(min(subject.episodes, 8))
    frame: Frame | None = None
    slowest = 0.0
    episode = 0
    for number in range(subject.fuzz):
        if frame is None or frame.ended:
            frame = start(env, task_ids[episode % len(task_ids)], episode)
            episode += 1
        action = hostile_action(number, frame, rng)
        begun = time.perf_counter()
        frame = act(env, action)
        seconds = time.perf_counter() - begun
        finding.problems += _faults(action, frame, seconds)
        slowest = max(slowest, seconds)
        if finding.problems:
            break
    finding.figures |= {"fuzzed_actions": number + 1, "slowest_fuzz_seconds": slowest}
    return finding


def hostile_action(number: int, frame: Frame, rng: np.random.Generator) -> str:
    """Return the next hostile action; the fixed ones come first."""
    if number < len(_FIXED):
        return _FIXED[number]
    kind = number % 5
    if kind == 0 and number % 200 == 0:
        return _long_text(frame, rng)
    if kind < 3:
        words = frame.admissible or list(NOISE)
        edit = _EDITS[int(rng.integers(len(_EDITS)))]
        return str(edit(words[int(rng.integers(len(words)))]))
    return "".join(_random_text(rng) for _ in range(int(rng.integers(1, 6))))


def _random_text(rng: np.random.Generator) -> str:
    low, high = _CLASSES[int(rng.integers(len(_CLASSES)))]
    return "".join(map(chr, rng.integers(low, high + 1, size=int(rng.integers(1, 20)))))


def _long_text(frame: Frame, rng: np.random.Generator) -> str:
    words = [" ", "a", "\n", "1", "go ", "((a+)+)", "\u4e00", *(frame.admissible or NOISE)]
    word = words[int(rng.integers(len(words)))]
    return str(word * (_LONG // len(word) + 1))


def _faults(action: str, frame: Frame, seconds: float) -> list[str]:
    said = f"the answer to {brief(action)}"
    if not isinstance(frame.observation, str):
        return [f"{said} is a {type(frame.observation).__name__}, not text"]
    if not is_unicode(frame.observation):
        return [f"{said} repeats a lone surrogate, which no tokenizer can encode"]
    if not math.isfinite(frame.reward):
        return [f"{said} has the reward {frame.reward}"]
    if seconds > _SLOW_SECONDS:
        return [f"{said} took {seconds:.1f} s"]
    return []
