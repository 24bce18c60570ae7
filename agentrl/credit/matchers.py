"""When do two texts count as the same? Matchers number texts so that equal ones share a number.

    exact         the texts are equal
    normalised    they are equal after Unicode NFC, with white space collapsed and the keys of JSON
                  sorted
    similarity    difflib's ratio is at least `threshold`
    embedding     the cosine of their embeddings is at least `threshold`

The last two cluster greedily within each group: a text joins the first cluster whose
representative is near enough. They go through a group's distinct texts in alphabetical order, so
that the order of trajectories does not matter.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from agentrl.batch import Floats, Ints
from agentrl.credit.checks import check_unit
from agentrl.credit.coincidence import intern
from agentrl.errors import ConfigError, MissingExtraError, ModelError, did_you_mean

Embed = Callable[[Sequence[str]], npt.ArrayLike]
"""Turns texts into vectors: shape [texts, width]."""


@runtime_checkable
class Matcher(Protocol):
    """Decides which texts of a group count as the same."""

    def __call__(self, texts: Sequence[str], groups: Ints) -> Ints:
        """Return a number from 0 for each text; equal numbers in one group mean the same text.

        Args:
            texts: What to compare.
            groups: The group of each text; texts of different groups are never compared. Shape
                [texts].
        """
        ...


@dataclass(frozen=True, slots=True)
class ExactMatcher:
    """Texts are the same where they are equal."""

    def __call__(self, texts: Sequence[str], groups: Ints) -> Ints:
        """Return a number for each text."""
        return intern(texts)


@dataclass(frozen=True, slots=True)
class NormalisedMatcher:
    """Texts are the same where they are equal in normal form."""

    def __call__(self, texts: Sequence[str], groups: Ints) -> Ints:
        """Return a number for each text."""
        distinct = {text: normal_form(text) for text in dict.fromkeys(texts)}
        return intern([distinct[text] for text in texts])


@dataclass(frozen=True, slots=True)
class SimilarityMatcher:
    """Texts are the same where difflib finds them alike; quadratic in a group's distinct texts."""

    threshold: float = 0.95
    """The least `difflib.SequenceMatcher` ratio; 0.9 was published for search."""

    def __post_init__(self) -> None:
        """Refuse a threshold that makes no sense."""
        check_unit("similarity", "threshold", self.threshold)

    def __call__(self, texts: Sequence[str], groups: Ints) -> Ints:
        """Return a number for each text."""
        return _by_group(texts, groups, self._cluster)

    def _cluster(self, distinct: Sequence[str]) -> dict[str, int]:
        representatives: list[str] = []
        found: dict[str, int] = {}
        matcher = SequenceMatcher()
        for text in distinct:
            matcher.set_seq2(text)
            near = (i for i, other in enumerate(representatives) if self._alike(matcher, other))
            found[text] = next(near, len(representatives))
            if found[text] == len(representatives):
                representatives.append(text)
        return found

    def _alike(self, matcher: SequenceMatcher[str], other: str) -> bool:
        matcher.set_seq1(other)
        bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
        return all(bound() >= self.threshold for bound in bounds)


@dataclass(frozen=True, slots=True)
class EmbeddingMatcher:
    """Texts are the same where their embeddings point the same way."""

    model: Any
    """Name or directory of a sentence-transformers model, or a function from texts to vectors."""
    threshold: float = 0.9
    """The least cosine. Neither encoder nor threshold of SALT is published; UNVERIFIED."""

    def __post_init__(self) -> None:
        """Refuse what cannot be used, before any rollout.

        Raises:
            ConfigError: The threshold or the model makes no sense.
            MissingExtraError: A model is named and sentence-transformers is not installed.
        """
        check_unit("embedding", "threshold", self.threshold)
        if isinstance(self.model, str):
            if find_spec("sentence_transformers") is None:
                raise MissingExtraError("sentence-transformers", "embedding", "matcher 'embedding'")
        elif not callable(self.model):
            raise ConfigError(
                "matcher 'embedding': model must be a sentence-transformers model's name or a "
                f"function from texts to vectors, not {self.model!r}"
            )

    def __call__(self, texts: Sequence[str], groups: Ints) -> Ints:
        """Return a number for each text."""
        distinct = sorted(dict.fromkeys(texts))
        embed = _load(self.model) if isinstance(self.model, str) else self.model
        vectors = _unit_vectors(embed(distinct), len(distinct)) if distinct else np.empty((0, 0))
        row = {text: number for number, text in enumerate(distinct)}

        def cluster(of_group: Sequence[str]) -> dict[str, int]:
            labels = self._cluster(vectors[[row[text] for text in of_group]])
            return dict(zip(of_group, labels, strict=True))

        return _by_group(texts, groups, cluster)

    def _cluster(self, vectors: Floats) -> list[int]:
        representatives: list[int] = []
        labels = []
        for position, vector in enumerate(vectors):
            near = vectors[representatives] @ vector >= self.threshold
            labels.append(int(near.argmax()) if near.any() else len(representatives))
            if labels[-1] == len(representatives):
                representatives.append(position)
        return labels


MATCHERS: dict[str, Callable[..., Matcher]] = {
    "exact": ExactMatcher,
    "normalised": NormalisedMatcher,
    "similarity": SimilarityMatcher,
    "embedding": EmbeddingMatcher,
}
"""Matchers by the names that configurations use."""


def read_matcher(entry: Any) -> Matcher:
    """Return the matcher that a configuration means.

    Args:
        entry: A name, `{name: {parameter: value}}`, or a matcher.

    Raises:
        ConfigError: No such matcher, or a wrong parameter.
        MissingExtraError: It needs a package that is not installed.
    """
    if isinstance(entry, str):
        return read_matcher({entry: {}})
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, parameters),) = entry.items()
        return _build(name, parameters or {})
    if isinstance(entry, Matcher) and not isinstance(entry, type):
        return entry
    raise ConfigError(f"a matcher is a name or {{name: {{parameter: value}}}}, not {entry!r}")


def normal_form(text: str) -> str:
    """Return text in Unicode NFC, white space collapsed; JSON with sorted keys and no spaces."""
    text = unicodedata.normalize("NFC", text).strip()
    if text[:1] in ("{", "["):
        try:
            return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
        except (ValueError, RecursionError):
            pass
    return " ".join(text.split())


def _build(name: Any, parameters: Any) -> Matcher:
    if name not in MATCHERS:
        raise ConfigError(f"no matcher {name!r}; {did_you_mean(str(name), MATCHERS)}")
    build: Any = MATCHERS[name]
    known = [field.name for field in dataclasses.fields(build)]
    if not isinstance(parameters, Mapping) or not parameters.keys() <= set(known):
        listed = ", ".join(known) or "none"
        raise ConfigError(f"matcher {name!r}: unknown parameters {parameters!r}; known: {listed}")
    if "model" in known and "model" not in parameters:
        raise ConfigError(
            f"matcher {name!r} needs the name of a sentence-transformers model: "
            f"{{{name}: {{model: NAME}}}}"
        )
    try:
        matcher: Matcher = msgspec.convert(dict(parameters), build)
    except msgspec.ValidationError as error:
        raise ConfigError(f"matcher {name!r}: {error}") from None
    return matcher


def _by_group(
    texts: Sequence[str], groups: Ints, cluster: Callable[[Sequence[str]], dict[str, int]]
) -> Ints:
    distinct: dict[int, set[str]] = {}
    for text, group in zip(texts, groups.tolist(), strict=True):
        distinct.setdefault(group, set()).add(text)
    found = {group: cluster(sorted(of_group)) for group, of_group in distinct.items()}
    numbers = (found[group][text] for text, group in zip(texts, groups.tolist(), strict=True))
    return np.fromiter(numbers, np.int64, len(texts))


def _unit_vectors(embedded: npt.ArrayLike, count: int) -> Floats:
    vectors = np.asarray(embedded, np.float64)
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
        raise ModelError(
            f"matcher 'embedding': the model must give one finite vector per text, {count} in "
            f"all, not an array of shape {vectors.shape}"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.where(lengths == 0, 1.0, lengths)
    return unit


@lru_cache(maxsize=4)
def _load(name: str) -> Embed:
    try:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(name)
    except ImportError as error:
        package = error.name or "sentence-transformers"
        raise MissingExtraError(package, "embedding", "matcher 'embedding'") from None
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"matcher 'embedding': cannot load model {name!r}: {why}") from None
    return lambda texts: np.asarray(model.encode(list(texts), show_progress_bar=False))
