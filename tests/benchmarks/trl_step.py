"""TRL's GRPO step in a process of its own, for `bench_learner.py`.

As a program, `trl_step.py MODEL BATCH.npz OPTIONS`, it takes one update per line on standard input,
which says the micro-batch, and answers with its seconds and gradient norm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

TRL = "trl==1.16.*"


class Clock:
    """Wall-clock and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both in seconds."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


class TrlProcess:
    """TRL in a process of its own."""

    def __init__(self, model: Path, batch: Path, options: argparse.Namespace) -> None:
        """Start it and wait until it is ready."""
        command = [trl_python(), __file__, str(model), str(batch), "--device", options.device]
        command += ["--threads", str(options.threads)]
        command += [f"--{flag}" for flag in ("bf16", "checkpoint") if getattr(options, flag)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
            text=True,
        )
        self._answer("ready")

    def step(self, size: int) -> dict[str, float]:
        """Return seconds and gradient norm of one update; infinite where memory ran out."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        return dict(json.loads(self._answer("{")))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _answer(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit("TRL ended early; BENCH_VERBOSE=1 shows why")


def trl_python() -> str:
    """Return a Python that has TRL, making a virtual environment on top of this one if need be."""
    try:
        import trl

        if trl.__version__.startswith("1.16."):
            return sys.executable
    except ImportError:
        pass
    folder = Path(tempfile.gettempdir()) / "agentrl-bench-trl"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {TRL} into {folder} …", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        # Both sides compute with the same PyTorch and transformers: ours.
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        install = [str(python), "-m", "pip", "install", "-q", TRL]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        (folder / "ready").touch()
    return str(python)


def build_trainer(options: argparse.Namespace, scratch: str, longest: int) -> Any:
    """Return TRL's trainer, prepared as its `train` would."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=options.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        train_dataset=Dataset.from_list([{"prompt": "w3"}]),
        args=GRPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=1,
            num_generations=8,
            loss_type="dapo",
            beta=0.0,
            learning_rate=1e-6,
            weight_decay=0.01,
            max_completion_length=longest,
            use_cpu=options.device == "cpu",
            bf16=options.bf16,
            gradient_checkpointing=options.checkpoint,
            model_init_kwargs={"dtype": "float32"},
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        ),
    )
    if options.checkpoint:
        trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
    trainer.create_optimizer()
    trainer.model = trainer.accelerator.prepare_model(trainer.model)
    # The batch is there already: nothing is to be generated.
    trainer._prepare_inputs = lambda inputs: inputs
    trainer.model.train()
    return trainer


def take_step(trainer: Any, arrays: dict[str, Any], size: int) -> dict[str, float]:
    """Take one update in micro-batches and return what it took."""
    import torch
    from llamas import synchronise

    count = len(arrays["prompt_ids"])
    steps = -(-count // size)
    trainer.current_gradient_accumulation_steps = steps
    trainer.args.steps_per_generation = steps
    trainer.args.gradient_accumulation_steps = steps
    items = (arrays["completion_mask"] * arrays["tool_mask"]).sum()
    parts = [
        {name: value[i : i + size] for name, value in arrays.items()}
        | {"num_items_in_batch": items}
        for i in range(0, count, size)
    ]
    device = arrays["prompt_ids"].device
    synchronise(device)
    started = Clock()
    try:
        for part in parts:
            trainer.training_step(trainer.model, part, None)
        norm = float(torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0))
        trainer.optimizer.step()
    except torch.OutOfMemoryError:
        return {"seconds": float("inf"), "cpu_seconds": float("inf"), "grad_norm": float("nan")}
    finally:
        trainer.model.zero_grad()
    synchronise(device)
    wall, cpu = started.read()
    return {"seconds": wall, "cpu_seconds": cpu, "grad_norm": norm}


def main() -> None:
    """Serve updates until standard input ends."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("batch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--checkpoint", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    arrays = {
        name: torch.from_numpy(value).to(options.device)
        for name, value in np.load(options.batch).items()
    }
    arrays["advantages"] = arrays["advantages"].float()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build_trainer(options, scratch, arrays["completion_ids"].shape[1])
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(take_step(trainer, arrays, int(line))), flush=True)


if __name__ == "__main__":
    main()
