"""`agentrl play`: a person plays in the terminal or a browser, or a program through a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentrl.errors import AgentRLError, ConfigError
from agentrl.options import read_options

if TYPE_CHECKING:
    from agentrl.check.subject import Subject
    from agentrl.cli.speaker import Speaker
    from agentrl.env import TextEnv

_HELP = """\
  ?         the actions you can take, where the environment lists them
  #3        take the third of them
  !         what an expert would do now, where there is one
  :prompt   what a model would be shown now, token for token
  :quit     stop; so do Ctrl-D and Ctrl-C
Anything else is your action."""


def play(
    name: Annotated[str, typer.Argument(help="A registered environment, or file.py:Class.")],
    task: Annotated[
        str | None, typer.Option(help="The task to play; default: a random one.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split to draw the task from.")] = "train",
    options: Annotated[
        list[str] | None, typer.Option("--set", help="An environment option: option=value.")
    ] = None,
    format_name: Annotated[
        str,
        typer.Option("--format", help="Write actions as a model must: plain, react, xml, choice."),
    ] = "plain",
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Show each prompt as the model would get it.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model whose prompts are shown.")] = "tiny",
    seed: Annotated[int | None, typer.Option(help="Seeds the task drawn and the episode.")] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Serve pages to play on, where it has them.")
    ] = False,
    host: Annotated[str, typer.Option(help="The browser's pages: address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The browser's pages: port; 0 takes a free one.")] = 0,
    save: Annotated[
        Path | None, typer.Option(help="With --browser: folder to add finished episodes to.")
    ] = None,
) -> None:
    """Play an environment yourself, and see what a model would be shown."""
    from agentrl.check.subject import Subject

    subject = Subject(name, split, read_options(options or (), "--set"))
    if browser:
        from agentrl.cli.browser import serve

        if show_prompt or format_name != "plain":
            raise ConfigError("--format and --show-prompt are for the terminal, not for --browser")
        serve(subject, task=task, seed=seed, host=host, port=port, save=save)
        return
    if save is not None:
        raise ConfigError("--save needs --browser")
    _play_in_terminal(subject, task, seed, (format_name, model, show_prompt))


def _play_in_terminal(
    subject: Subject, task: str | None, seed: int | None, shown: tuple[str, str, bool]
) -> None:
    from agentrl.cli.speaker import Speaker

    env = subject.make()
    observation, info = env.reset(seed=seed, options={"task": task} if task is not None else None)
    guided = subject.make_with_expert(info["task_id"])
    if guided is not None:
        env = guided
        observation, info = env.reset(seed=seed, options={"task": info["task_id"]})
    format_name, model, show_prompt = shown
    speaker = Speaker(format_name, model, with_prompt=show_prompt)
    print(f"{subject.name}, task {info['task_id']}. Type ?, !, :prompt, :help or an action.\n")
    Game(env, speaker, show_prompt).run(observation, info)


class Game:
    """One episode with a person at the keyboard."""

    def __init__(self, env: TextEnv, speaker: Speaker, show_prompt: bool) -> None:
        """Prepare to play `env`, showing prompts where asked to."""
        self.env = env
        self.speaker = speaker
        self.show_prompt = show_prompt
        self.turns = 0
        self.reward = 0.0

    def run(self, observation: str, info: dict[str, Any]) -> None:
        """Play until the episode ends or the person stops; print how it went."""
        ended = "stopped"
        try:
            while ended == "stopped":
                observation, info, ended = self._turn(observation, info)
        except (EOFError, KeyboardInterrupt):
            print()
        print(f"\n{ended} after {self.turns} turns, reward {self.reward:g}")

    def _turn(self, observation: str, info: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
        """Show the situation, read an action and take it; return what follows and how it ended."""
        self.speaker.hear(observation, info)
        print(self.speaker.shown())
        if self.show_prompt:
            self._print_prompt()
        action, problem = self.speaker.say(self._read(info))
        self.turns += 1
        if action is None:
            print("(not an action in this format)")
            return problem or "", info, "stopped"
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.reward += reward
        if info["invalid"]:
            print("(not understood)")
        if not (terminated or truncated):
            return observation, info, "stopped"
        print(observation)
        ended = "success" if info["success"] else "failure" if terminated else "truncated"
        return observation, info, ended

    def _read(self, info: dict[str, Any]) -> str:
        """Return what the person says; questions are answered here and cost no turn."""
        while True:
            line = read_line()
            listed = info.get("admissible_actions") or []
            if line == "?":
                rows = [f"  #{number} {action}" for number, action in enumerate(listed, 1)]
                print("\n".join(rows) or "(this environment lists no actions)")
            elif line == "!":
                print(f"  {info.get('expert_action') or '(there is no expert here)'}")
            elif line in (":help", ":h"):
                print(_HELP)
            elif line == ":prompt":
                self._print_prompt()
            elif line in (":quit", ":q"):
                raise EOFError
            elif line[:1] == "#" and line[1:].isdecimal() and 0 < int(line[1:]) <= len(listed):
                return self.speaker.phrase(str(listed[int(line[1:]) - 1]))
            else:
                return line.replace("\\n", "\n")

    def _print_prompt(self) -> None:
        try:
            print(self.speaker.prompt())
        except AgentRLError as error:
            print(f"(no prompt can be shown: {error})")


def read_line() -> str:
    """Return a line from the terminal or a pipe; a pipe's line is echoed to keep a transcript.

    Raises:
        EOFError: There is nothing more to read.
    """
    if sys.stdin.isatty():
        return input("> ")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    print(f"> {line.rstrip()}")
    return line.rstrip("\r\n")
