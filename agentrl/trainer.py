"""The training loop: tasks -> episodes -> credit -> weights, once per update.

Nothing depends on the past but the learner and the credit methods that remember, and checkpoints
hold both; tasks and seeds follow from a group's place in the run. So a run that is killed at any
moment goes on from its last checkpoint, in the synchronous schedule with the figures that it would
have had. All schedules share this loop: only `Rollouts` knows how far episodes run ahead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from agentrl import blocking, credit, storage
from agentrl.batch import Batch
from agentrl.config import Config
from agentrl.credit import state as credit_state
from agentrl.credit.compose import metrics
from agentrl.credit.explain import Explained, explain
from agentrl.credit.records import credit_records, write_credit
from agentrl.curriculum.plan import GroupPlan
from agentrl.engines.base import Engine
from agentrl.errors import AgentRLError, DriftError, EngineFault, EnvironmentFault
from agentrl.evaluation.held_out import HeldOut, forget_undone, held_out_figures
from agentrl.learner.checkpoint import Checkpoint, load_latest, save_checkpoint
from agentrl.learner.losses import kl_rewards, turn_sums
from agentrl.learner.sources import measure
from agentrl.monitor.metrics import Metrics, MetricsFile
from agentrl.monitor.progress import Progress
from agentrl.monitor.trackers import open_trackers
from agentrl.parts import Parts
from agentrl.rewards import compose as rewards
from agentrl.rewards.base import added
from agentrl.rollout.requests import Collected
from agentrl.rollout.rollouts import Rollouts
from agentrl.rollout.schedule import Schedule
from agentrl.rollout.stats import environment_means
from agentrl.run import RunDirectory
from agentrl.storage.ledger import Ledger
from agentrl.trajectory import Signals

T = TypeVar("T")


class Trainer:
    """Trains one run, once: after an interruption another trainer goes on from what it saved.

    It takes for granted that no other process trains the run; `train` sees to that.
    """

    def __init__(
        self, config: Config, run: RunDirectory, parts: Parts, progress: Progress | None = None
    ) -> None:
        """Go on from the run's latest checkpoint, or start at update 0.

        Raises:
            CheckpointError: All checkpoints are damaged, or belong to another model.
            MissingExtraError: A tracker's package is not installed.
        """
        self.config = config
        self.run = run
        self.parts = parts
        checkpoint = load_latest(run.checkpoints)
        self.update = self._saved = checkpoint.step if checkpoint else 0
        self.ledger = Ledger(run.ledger_file, update=self.update)
        self.rollouts = Rollouts(
            parts.collector,
            GroupPlan(config, parts.tasks),
            Schedule.of(config.schedule),
            tasks=config.rollout.tasks,
            updates=config.updates,
            run_seed=config.seed,
            version=self.update,
            journal=self.ledger,
        )
        if checkpoint is not None:
            self._restore(checkpoint)
        forget_undone(run.evaluations, self.update)
        self.progress = progress or Progress(config.updates)
        self.metrics = MetricsFile(run.metrics_file, keep_through=self.update)
        self.held_out = HeldOut(config, run.evaluations) if config.evaluation.every else None
        self.held_out_figures = MetricsFile(run.held_out_file, keep_through=self.update)
        self.trackers = open_trackers(config, run.path)
        self.stopping = False
        self._thread = blocking.Worker("agentrl-learner")
        self._playing: asyncio.Task[Any] | None = None

    async def fit(self) -> bool:
        """Train until the last update; return False if Ctrl-C or SIGTERM stopped it before."""
        with self._signals():
            try:
                await self._train()
            except (EngineFault, EnvironmentFault) as error:
                raise self._broken(error) from None
        self.save()
        return self.update >= self.config.updates and not self._owes_evaluation

    async def _train(self) -> None:
        await self._sync()
        await self._evaluate()
        while self.update < self.config.updates and not self.stopping:
            if not await self._one_update(self.update + 1):
                break
            if self.update % self.config.checkpoint_every == 0:
                # Episodes go on meanwhile: a large policy takes minutes to write.
                await self._thread.run(self._write, self._state())
            await self._evaluate()

    async def close(self) -> None:
        """Stop episodes, engine, environments and trackers."""
        self._thread.close()
        await self.rollouts.close()
        await self.parts.close()
        self.ledger.close()
        self.metrics.close()
        self.held_out_figures.close()
        for tracker in self.trackers:
            tracker.close()

    def save(self) -> None:
        """Write a checkpoint of this moment, unless it exists."""
        if self.update != self._saved:
            self._write(self._state())

    def _state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside weights: what changes while episodes are played."""
        return {
            "credit": credit_state.state_dict(self.parts.methods),
            "rewards": rewards.state_dict(self.parts.rewards),
            "rollouts": self.rollouts.state_dict(),
        }

    def _write(self, state: dict[str, Any]) -> None:
        """Write a checkpoint of this update; weights and methods must not change meanwhile."""
        save_checkpoint(
            self.run.checkpoints,
            self.update,
            self.parts.learner,
            state=state,
            others=self.parts.trained_sources,
            keep=self.config.keep_checkpoints,
        )
        self._saved = self.update

    async def _one_update(self, number: int) -> bool:
        """Take episodes, learn, sync and report; False if interrupted while waiting for episodes.

        Once it is trained an update is reported whatever happens: a run goes on after it.
        """
        seconds = {"settling": 0.0, "sync": 0.0}  # reported also where it fails before them
        with _clock(seconds, "rollout"):
            collected = await self._interruptible(self.rollouts.take(number))
        if collected is None:
            return False
        with _clock(seconds, "signals"):
            paid = Batch.from_trajectories(collected.trajectories)
            signals = await measure(
                self.parts.sources, paid, self._thread, temperature=self.config.sampling.temperature
            )
        if self.config.schedule.share_device:
            await self.parts.engine.pause()
        try:
            figures = await self._thread.run(self._learn, number, collected, paid, signals, seconds)
        except DriftError as error:
            raise self._stopped(number, error) from None
        # No await between these: an interruption must not find them in disagreement.
        self.ledger.trained(number, paid)
        self.rollouts.trained()
        self.update = number
        try:
            with _clock(seconds, "settling"):
                await self._interruptible(self.rollouts.settle())
            with _clock(seconds, "sync"):
                await self._sync()
        finally:
            figures["tokens_per_second"] = paid.num_tokens / sum(seconds.values())
            self._report(figures | {f"seconds_{phase}": value for phase, value in seconds.items()})
        return True

    def _broken(self, error: EngineFault | EnvironmentFault) -> AgentRLError:
        """Save what was learned before an engine or environment failed; say how to go on."""
        self.save()
        return type(error)(
            f"{error}; {self.update} updates are saved, go on with: agentrl resume {self.run.path}"
        )

    def _stopped(self, number: int, error: DriftError) -> DriftError:
        """Save what was learned before engine and learner were too far apart; say how to go on."""
        self.save()
        self.run.drift_file.write_text(json.dumps({"update": number, **error.figures}) + "\n")
        return DriftError(
            f"update {number} was stopped before it learned: {error}; when that is mended, or the "
            f"limit changed in {self.run.config_file}: agentrl resume {self.run.path}",
            error.figures,
        )

    async def _sync(self) -> None:
        """Have the engine serve the policy of this moment, unless the run is about to end."""
        if self.stopping:
            return
        if self.config.schedule.share_device:
            self.parts.learner.release_memory()
        await self.parts.sync(self.update)
        if self.config.schedule.share_device:
            self.parts.learner.release_memory()
            await self.parts.engine.resume()
        self.rollouts.advance(self.update)

    def _learn(
        self,
        number: int,
        collected: Collected,
        paid: Batch,
        signals: Signals,
        seconds: dict[str, float],
    ) -> Metrics:
        """Assign credit and take an update; in the learner's thread."""
        learner, temperature = self.parts.learner, self.config.sampling.temperature
        with _clock(seconds, "credit"):
            batch = rewards.apply(paid, self.parts.rewards, signals)
            batch = self._penalise(batch, signals)
            explained = explain(batch, self.parts.methods, signals, level="token")
            figures = metrics(batch, self.parts.methods, signals)
            self._keep(number, collected, batch, explained)
        with _clock(seconds, "learning"):
            figures |= learner.update(
                batch,
                explained.advantages,
                temperature=temperature,
                signals=signals,
                version=number - 1,
                limits=self.config.drift,
            )
            for source in self.parts.trained_sources.values():
                figures |= source.learn(batch, signals, temperature=temperature)
            rewards.learn(self.parts.rewards, paid)
            credit_state.learn(self.parts.methods, batch)
        return self._figures(number, collected, batch, figures)

    def _keep(self, number: int, collected: Collected, batch: Batch, explained: Explained) -> None:
        if self.config.monitor.keep_trajectories:
            storage.write(self.run.trajectory_file(number), collected.trajectories)
            write_credit(self.run.credit_file(number), credit_records(batch, explained))

    async def _evaluate(self) -> None:
        """Play the held-out panel, where this moment's policy is to be measured and was not yet."""
        held_out, update = self.held_out, self.update
        if held_out is None or not self._owes_evaluation or self.stopping:
            return
        self.progress.note(f"held-out evaluation on {self.config.evaluation.split}")
        parts = self.parts
        report = await self._interruptible(held_out.play(update, parts.engine, parts.dialogues))
        if report is None:
            return
        figures = held_out_figures(report)
        self.held_out_figures.log(update, figures)
        self.progress.note(
            f"held out after {update} updates: success {figures['success']:.3f} "
            f"({figures['low']:.3f} to {figures['high']:.3f}), score {figures['score']:.3f}, "
            f"{report.scored} episodes, {report.seconds:.0f} s"
        )
        for tracker in self.trackers:
            tracker.log(update, {f"held_out/{name}": value for name, value in figures.items()})

    @property
    def _owes_evaluation(self) -> bool:
        is_due = self.held_out is not None and self.held_out.is_due(self.update)
        return is_due and self.held_out_figures.last != self.update

    async def _interruptible(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """Return what a coroutine returns, or None when Ctrl-C stopped it, also beforehand."""
        if self.stopping:
            coroutine.close()
            return None
        self._playing = playing = asyncio.ensure_future(coroutine)
        try:
            return await playing
        except asyncio.CancelledError:
            if self.stopping:
                return None
            raise
        finally:
            self._playing = None

    def _penalise(self, batch: Batch, signals: Signals) -> Batch:
        """Take the KL to the reference off the rewards, where it is to act there."""
        learner = self.config.learner
        if learner.kl != "reward":
            return batch
        extra = kl_rewards(
            signals["old_logprob"],
            signals["ref_logprob"],
            coefficient=learner.kl_coefficient,
        )
        return added(batch, turn_sums(batch, extra))

    def _figures(
        self, number: int, collected: Collected, batch: Batch, learned: Metrics
    ) -> Metrics:
        stats = collected.stats
        staleness = number - 1 - batch.policy_versions
        return {
            "reward": float(batch.returns.mean()),
            "success": float(batch.success.mean()),
            "turns_per_episode": batch.num_turns / batch.num_trajectories,
            "invalid_actions": stats.invalid_rate,
            **credit.group_report(batch),
            **learned,
            "env_steps": float(stats.env_steps),
            "staleness/mean": float(staleness.mean()),
            "staleness/max": float(staleness.max()),
            **environment_means(collected.trajectories),
            **engine_figures(self.parts.engine),
            **{f"rollout/{name}": value for name, value in stats.as_metrics().items()},
        }

    def _report(self, figures: Metrics) -> None:
        self.metrics.log(self.update, figures)
        self.progress.row(self.update, figures)
        for tracker in self.trackers:
            tracker.log(self.update, figures)

    def _restore(self, checkpoint: Checkpoint) -> None:
        checkpoint.restore(self.parts.learner, others=self.parts.trained_sources)
        credit_state.load_state_dict(self.parts.methods, checkpoint.state["credit"])
        rewards.load_state_dict(self.parts.rewards, checkpoint.state["rewards"])
        self.rollouts.load_state_dict(checkpoint.state["rollouts"])

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the rollout and saves; the second one kills."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            self._release_signals(loop)

    def _interrupt(self) -> None:
        self.stopping = True
        self.progress.note("stopping: the last complete update is being saved")
        self._release_signals(asyncio.get_running_loop())
        if self._playing is not None:
            self._playing.cancel()

    @staticmethod
    def _release_signals(loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.remove_signal_handler(number)


def train(
    config: Config, run: RunDirectory, parts: Parts, progress: Progress | None = None
) -> bool:
    """Train a run to its end; return False if it was interrupted (and can be resumed).

    Raises:
        AgentRLError: Another process trains the run, or see `Trainer`.
    """

    async def main(trainer: Trainer) -> bool:
        try:
            return await trainer.fit()
        finally:
            await trainer.close()

    with run.alone():
        return blocking.run(main(Trainer(config, run, parts, progress)))


def engine_figures(engine: Engine) -> Metrics:
    """Return what an engine tells of itself, such as how often its server was lost, if anything."""
    figures: Metrics = getattr(engine, "figures", dict)()
    return figures


def default_run_directory(config: Config) -> Path:
    """Return `runs/ENV-CREDIT-TIME`, a name that says what the run is."""
    words = [entry if isinstance(entry, str) else next(iter(entry)) for entry in config.credit]
    env = config.env.name.rpartition(":")[2].lower()
    return Path("runs") / f"{env}-{'-'.join(words)}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextlib.contextmanager
def _clock(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.monotonic() - started
