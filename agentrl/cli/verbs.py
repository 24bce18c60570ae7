"""The verbs of the command line, by name; a verb's module is imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """One command."""

    home: str
    """`module:function`; the function's typer annotations are the command's flags."""
    summary: str
    """One line for the overview."""


VERBS: dict[str, Verb] = {
    "quickstart": Verb(
        "agentrl.cli.quickstart:quickstart", "Train and evaluate a tiny agent in minutes."
    ),
    "train": Verb("agentrl.cli.train:train", "Train a policy by reinforcement learning."),
    "resume": Verb("agentrl.cli.train:resume", "Go on with an interrupted run."),
    "eval": Verb("agentrl.cli.eval:evaluate", "Evaluate a run or model on a split."),
    "compare": Verb("agentrl.cli.compare:compare", "Compare two evaluated runs."),
    "credit": Verb(
        "agentrl.cli.credit:credit", "Say which turns of stored trajectories earned what, and why."
    ),
    "ledger": Verb("agentrl.cli.ledger:ledger", "Say what became of every episode of a run."),
    "play": Verb("agentrl.cli.play:play", "Play an environment yourself, here or in a browser."),
    "env list": Verb("agentrl.cli.env_list:list_environments", "List the environments."),
    "env check": Verb("agentrl.cli.env_check:check", "Check that an environment is sound."),
    "pretrain": Verb("agentrl.cli.pretrain:pretrain", "Make the tiny policy from expert play."),
    "data list": Verb("agentrl.cli.data:list_data", "List the data sets and what they are for."),
    "data get": Verb("agentrl.cli.data:get", "Download a data set, or go on with it."),
    "data path": Verb("agentrl.cli.data:path", "Print the folder that holds the data."),
    "doctor": Verb(
        "agentrl.cli.doctor:doctor", "Say what is installed, what is missing, how to get it."
    ),
}

GROUPS: dict[str, str] = {
    "env": "List and check environments.",
    "data": "The data sets that environments read.",
}


def words_of(prefix: str = "") -> dict[str, str]:
    """Return the words that may follow `prefix`, each with its summary."""
    start = f"{prefix} " if prefix else ""
    found: dict[str, str] = {}
    for name, verb in VERBS.items():
        if not name.startswith(start):
            continue
        word, _, rest = name.removeprefix(start).partition(" ")
        found[word] = GROUPS[word] if rest else verb.summary
    return found


def overview(prefix: str = "") -> str:
    """Return the help text of the whole program, or of the group named `prefix`."""
    words = words_of(prefix)
    command = f"agentrl {prefix}".rstrip()
    head = GROUPS[prefix] if prefix else "Train LLM agents with multi-turn reinforcement learning."
    width = max(map(len, words))
    lines = [f"Usage: {command} COMMAND …", "", head, "", "Commands:"]
    lines += [f"  {word:<{width}}  {summary}" for word, summary in words.items()]
    lines += ["", f"`{command} COMMAND --help` tells more about a command."]
    if not prefix:
        lines += [
            "`agentrl --version` prints the version. Commands that report take `--json`.",
            "Exit codes: 0 done, 1 problems found, 2 something for you to mend, 130 interrupted.",
        ]
    return "\n".join(lines)
