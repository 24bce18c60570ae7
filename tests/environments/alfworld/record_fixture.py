"""Record `fixtures/generated_goldens.jsonl`: the original engine playing our generated games.

Needs the extra `alfworld` and, in AGENTRL_DATA, the official domain and grammar. To be run again
only when the generator changes on purpose:

    python tests/environments/alfworld/record_fixture.py
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from agentrl.environments.alfworld import LEVELS, Engine, generate
from agentrl.environments.alfworld.export import to_game_file
from agentrl.environments.alfworld.official import data_folder
from agentrl.environments.alfworld.original import Original
from agentrl.environments.alfworld.planner import plan

FIXTURE = Path(__file__).parent / "fixtures" / "generated_goldens.jsonl"
SEEDS = 3
STEPS = 24
WEIGHTS = {"go": 1, "examine": 2, "help": 0.1, "inventory": 0.5, "look": 1}
NOT_ADMISSIBLE = ("go to nowhere 1", "LOOK", "take the moon", "open", " look  ", "use lamp")


def record(original: Original, level: int, seed: int, rules: tuple[str, str]) -> dict[str, object]:
    """Play one episode: chance mixed with the winning plan, which is followed at the end."""
    game, rng = generate(level, seed), random.Random(seed)
    engine = Engine(game)
    introduction = original.reset(to_game_file(game, *rules))
    steps = []
    for number in range(STEPS):
        winning = plan(engine) or ["look"]
        admissible = original.admissible
        if number >= STEPS - 10 or rng.random() < 0.3:
            action = winning[0]
        elif rng.random() < 0.1:
            action = rng.choice(NOT_ADMISSIBLE)
        else:
            weights = [WEIGHTS.get(command.split()[0], 6.0) for command in admissible]
            action = rng.choices(admissible, weights)[0]
        feedback = original.step(action)
        engine.step(action)
        steps.append([action, feedback, original.won, digest(original.admissible)])
    return {
        "level": level,
        "seed": seed,
        "id": game.id,
        "introduction": introduction,
        "steps": steps,
    }


def digest(commands: list[str]) -> str:
    """Return a short hash of a list of commands, in order."""
    return hashlib.sha1("\n".join(commands).encode()).hexdigest()[:12]


def main() -> None:
    """Write the fixture."""
    folder = data_folder()
    domain = (folder / "domain.pddl").read_text(encoding="utf-8")
    grammar = (folder / "grammar.twl2").read_text(encoding="utf-8")
    original = Original()
    with FIXTURE.open("w", encoding="utf-8") as file:
        for level in LEVELS:
            for seed in range(SEEDS):
                file.write(json.dumps(record(original, level, seed, (domain, grammar))) + "\n")


if __name__ == "__main__":
    main()
