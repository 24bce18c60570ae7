"""Replays episodes given as JSON on stdin and prints their frames: the checker's other process."""

from __future__ import annotations

import json
import sys

from agentrl.check.play import replay
from agentrl.check.subject import Subject


def main() -> None:
    """Read one request, play it and print the plain frames of each episode on one line."""
    request = json.load(sys.stdin)
    subject = Subject(request["name"], request["split"], request["options"])
    env = subject.make()
    played = [
        [
            frame.plain()
            for frame in replay(env, episode["task"], request["seed"], episode["actions"])
        ]
        for episode in request["episodes"]
    ]
    print("\n" + json.dumps(played))


if __name__ == "__main__":
    main()
