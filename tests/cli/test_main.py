from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import agentrl
from agentrl.cli import verbs
from agentrl.errors import AgentRLError


class Verb:
    """A verb of a test's own, put into the table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def raises(self, error: BaseException) -> str:
        module = type(sys)("agentrl_test_verb")

        def fail() -> None:
            raise error

        module.fail = fail
        self._monkeypatch.setitem(sys.modules, "agentrl_test_verb", module)
        self._monkeypatch.setitem(
            verbs.VERBS, "fail", verbs.Verb("agentrl_test_verb:fail", "Fails.")
        )
        return "fail"


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Verb:
    return Verb(monkeypatch)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_overview_names_every_command(run, words) -> None:
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    for name in ("train", "eval", "compare", "play", "env", "doctor", "data"):
        assert f"\n  {name} " in out


def test_a_group_lists_its_commands(run) -> None:
    code, out, _ = run("env")
    assert code == 0
    assert "list " in out
    assert "check " in out


def test_version(run) -> None:
    assert run("--version") == (0, f"agentrl {agentrl.__version__}\n", "")


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_command_exists_and_has_help(run, name: str) -> None:
    module, _, function = verbs.VERBS[name].home.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert f"Usage: agentrl {name}" in out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["env", "chek"], "unknown command 'env chek'; did you mean 'check'?"),
        (["xyzzy"], "known: "),
        (["env", "list", "--jsn"], "--json"),
        (["env", "check"], "Missing argument"),
        (["env", "check", "alfworld", "--episodes", "many"], "valid integer"),
    ],
)
def test_wrong_words_give_one_line_and_code_2(run, words, hint) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert hint in err


def test_agentrl_errors_are_one_line(run, verb) -> None:
    code, _, err = run(verb.raises(AgentRLError("no such thing;\n  mend it")))
    assert (code, err) == (2, "error: no such thing; mend it\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_full_or_locked_disk_is_one_line(run, verb, number: int) -> None:
    error = OSError(number, os.strerror(number), "runs/a/metrics.jsonl")
    code, _, err = run(verb.raises(error))
    assert code == 2
    assert err.startswith(f"error: runs/a/metrics.jsonl: {os.strerror(number)}; ")
    assert err.count("\n") == 1


def test_bugs_show_their_traceback(run, verb) -> None:
    with pytest.raises(ZeroDivisionError):
        run(verb.raises(ZeroDivisionError()))


def test_errors_show_their_traceback_when_asked(run, verb, monkeypatch) -> None:
    monkeypatch.setenv("AGENTRL_TRACEBACK", "1")
    with pytest.raises(AgentRLError):
        run(verb.raises(AgentRLError("no")))


def test_ctrl_c_is_one_line_and_130(run, verb) -> None:
    code, out, err = run(verb.raises(KeyboardInterrupt()))
    assert (code, out, err.strip()) == (130, "", "interrupted")


def test_ctrl_c_in_a_real_terminal_command() -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "agentrl", "play", "alfworld", "--set", "difficulty=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    while "Your task is to" not in started.stdout.readline():
        pass
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0
    assert "stopped after 0 turns" in out
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error() -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "agentrl", "env", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stdout is not None
    started.stdout.close()
    assert started.stderr is not None
    assert started.stderr.read() == b""
    assert started.wait() in (0, 1)


def test_help_imports_neither_torch_nor_gymnasium() -> None:
    code = (
        "import sys; from agentrl.cli import main; main(['--help']); "
        "print(*(m for m in ('torch', 'transformers', 'gymnasium', 'numpy', 'typer', 'rich') "
        "if m in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("torch", ["train", "env.options.difficulty=1"], "train"),
        ("torch", ["pretrain", "out", "tiny"], "train"),
        ("transformers", ["play", "alfworld", "--show-prompt"], "train"),
    ],
)
def test_a_missing_extra_is_told_with_its_command(module, words, extra, tmp_path) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; "
        f"from agentrl.cli import main; sys.exit(main({words!r}))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"pip install 'agentrl-framework[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_module_of_no_extra_is_a_bug(run, verb) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(verb.raises(ModuleNotFoundError("no", name="agentrl.nothing")))


def test_installed_script_runs() -> None:
    script = Path(sys.executable).with_name("agentrl")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"agentrl {agentrl.__version__}\n"
