"""Seeds by hashing: equal on every machine, in every process, in any order of completion.

A seed depends only on the names of what it seeds. Nothing is drawn from a shared stream, so an
episode played again, or played after another one was lost, gets the same randomness.
"""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 64) - 1
_STRIDE = 0x9E3779B97F4A7C15


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on `parts` and their order alone."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def group_seed(run_seed: int, update: int, task_id: str) -> int:
    """Return the seed that the episodes of one group share: it seeds their environments."""
    return derive_seed("group", run_seed, update, task_id)


def episode_seed(run_seed: int, seed: int, task_id: str, index: int) -> int:
    """Return the seed of an episode's sampling.

    Args:
        run_seed: The run's seed.
        seed: The group's seed (`Trajectory.seed`).
        task_id: The task played.
        index: The episode's place in its group.
    """
    return derive_seed("episode", run_seed, seed, task_id, index)


def turn_seed(episode: int, turn: int) -> int:
    """Return the 63-bit sampling seed of a turn: a splitmix64 step, far cheaper than a hash."""
    mixed = (episode + (turn + 1) * _STRIDE) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ (mixed >> 31)) >> 1
