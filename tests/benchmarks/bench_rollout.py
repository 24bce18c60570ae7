"""Rollout overhead: turns per second with a policy that answers at once in a trivial game.

    python tests/benchmarks/bench_rollout.py [--rounds 5] [--venvs DIR]

Counted, for everyone: environment steps, conversation, tokenisation, bookkeeping; processor time
of one process pinned to one core, after a warm-up, start-up and imports left out. Not counted:
any model. All play the same game (`rollout_peers/game.py`) with the same local BPE tokenizer and
ChatML template; no text of an observation occurs twice, except in the row with groups.

    agentrl             collector, dialogue (exact ids, loss mask), scripted engine, `Batch`
                        (words met before, not whole texts, come from the dialogue's cache)
    agentrl, groups     the same with 8 episodes per task, as in training: equal texts are cached
    gem-llm, new text   a bare loop over gem's `Env`; encodes only each new observation, decodes
                        each reply, records nothing: the least a loop with a tokenizer does
    gem-llm, chat       the bare loop as it is usually written: the growing chat is encoded anew
    verifiers, tokens   its rollout with its own training client (ids recorded), transport faked
    verifiers, text     its rollout with a client that only returns text; nothing is tokenised

`verifiers` and `gem-llm` are installed into throw-away virtual environments unless DIR has them.
Contenders take turns (A B C A B C …); the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "rollout_peers"
PACKAGES = {"verifiers": ["verifiers==0.4.*"], "gem": ["gem-llm==0.1.*", "tokenizers"]}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Contender:
    """One row of the table."""

    name: str
    script: str
    package: str | None
    share: float
    """Episodes to play, relative to the others: slow contenders play fewer."""
    options: tuple[str, ...] = ()


CONTENDERS = [
    Contender("agentrl", "peer_agentrl.py", None, 1.0, ("--concurrency", "64")),
    Contender(
        "agentrl, groups", "peer_agentrl.py", None, 1.0, ("--concurrency", "64", "--group", "8")
    ),
    Contender("gem-llm, new text", "peer_gem.py", "gem", 1.0, ("--variant", "new")),
    Contender("gem-llm, chat", "peer_gem.py", "gem", 0.5, ("--variant", "chat")),
    Contender(
        "verifiers, tokens", "peer_verifiers.py", "verifiers", 0.06,
        ("--concurrency", "64", "--variant", "tokens"),
    ),
    Contender(
        "verifiers, text", "peer_verifiers.py", "verifiers", 0.15,
        ("--concurrency", "64", "--variant", "text"),
    ),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=800)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--venvs", type=Path, help="keep the virtual environments here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        pythons = {
            package: ensure(arguments.venvs or scratch / "venvs", package) for package in PACKAGES
        }
        tokenizer = scratch / "tokenizer"
        build_tokenizer(tokenizer)
        rates: dict[str, list[float]] = {contender.name: [] for contender in CONTENDERS}
        for round_number in range(arguments.rounds):
            for contender in CONTENDERS:
                python = pythons.get(contender.package or "", Path(sys.executable))
                result = play(contender, python, tokenizer, scratch, arguments, round_number)
                rates[contender.name].append(result["turns"] / result["seconds"])
    show(rates, as_json=arguments.json)


def ensure(folder: Path, package: str) -> Path:
    """Return the interpreter of a virtual environment that has the package."""
    home = folder / package
    python = home / "bin" / "python"
    if not python.exists():
        print(f"installing {package} into a throw-away environment …", file=sys.stderr)
        venv.create(home, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", *PACKAGES[package]]
        subprocess.run(command, check=True)
    return python


def build_tokenizer(folder: Path) -> None:
    """Train a byte-level BPE tokenizer of 2,000 tokens on the game's own text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts(), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def texts() -> Iterator[str]:
    """Yield text of the game."""
    sys.path.insert(0, str(PEERS))
    from game import Game, replies

    game = Game(10)
    for seed in range(300):
        yield game.reset(seed)
        for _ in range(10):
            yield game.step("take it")[0]
    yield from replies()


def play(
    contender: Contender,
    python: Path,
    tokenizer: Path,
    scratch: Path,
    arguments: argparse.Namespace,
    round_number: int,
) -> dict[str, float]:
    """Run one contender once, pinned to one core, and return what it reports."""
    episodes = max(16, round(arguments.episodes * contender.share)) // 8 * 8
    command = [
        str(python), str(PEERS / contender.script),
        "--tokenizer", str(tokenizer),
        "--episodes", str(episodes),
        "--turns", str(arguments.turns),
        "--seed", str(round_number + 1),
        *contender.options,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "HOME": str(scratch),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=pin_to_one_core
    )
    if done.returncode:
        raise SystemExit(f"{contender.name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def pin_to_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def show(rates: dict[str, list[float]], *, as_json: bool) -> None:
    """Print medians, spreads and how many times faster agentrl is."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    if as_json:
        print(json.dumps({"turns_per_second": medians, "rounds": rates}, indent=1))
        return
    print(f"{'':20}{'turns/s':>10}{'lowest':>10}{'highest':>10}{'agentrl is':>14}{'in groups':>14}")
    for name, values in rates.items():
        alone, grouped = (medians[key] / medians[name] for key in ("agentrl", "agentrl, groups"))
        print(
            f"{name:20}{medians[name]:>10,.0f}{min(values):>10,.0f}{max(values):>10,.0f}"
            f"{alone:>13.2f}x{grouped:>13.2f}x"
        )


if __name__ == "__main__":
    main()
