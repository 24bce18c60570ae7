"""The policy as the learner holds it: weights that can be trained, and the tokenizer.

A model is named by `tiny` or `tiny-qa` (shipped), a directory in Hugging Face layout, or a Hub
name. Dropout is switched off: the learner must see the probabilities that the engine sampled from.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any

import torch

from agentrl.config import PolicyConfig
from agentrl.engines.base import Adapters
from agentrl.errors import MissingExtraError, MissingModelError, ModelError, one_line
from agentrl.learner.device import resolve_device

ASSETS = Path(__file__).resolve().parent.parent / "assets"
"""Where shipped models live."""
SHIPPED = ("tiny", "tiny-qa")
_ADAPTERS = "default"
"""What peft calls the adapters of the policy, beside those of reward model and critic."""


@dataclass(slots=True, eq=False)
class Policy:
    """A causal language model, its tokenizer and where they came from."""

    model: Any
    """A transformers model, wrapped by peft where LoRA is on."""
    tokenizer: Any
    path: str
    """The directory or Hub name it was loaded from."""

    @property
    def is_lora(self) -> bool:
        """Whether only adapters are trained."""
        return hasattr(self.model, "peft_config")

    @property
    def adapter_rank(self) -> int:
        """Rank of the LoRA adapters that are trained; 0 where all weights are."""
        return int(self.model.peft_config[_ADAPTERS].r) if self.is_lora else 0

    @property
    def adapter_modules(self) -> tuple[str, ...]:
        """The layers that have adapters, such as `q_proj`."""
        return (
            tuple(sorted(self.model.peft_config[_ADAPTERS].target_modules)) if self.is_lora else ()
        )

    @property
    def base(self) -> Any:
        """The transformers model itself, adapters included."""
        return self.model.get_base_model() if self.is_lora else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    def copied(self) -> Any:
        """Return a plain model of its own with the weights of this moment, adapters merged in."""
        if not self.is_lora:
            return copy.deepcopy(self.model)
        from transformers import AutoModelForCausalLM

        with self.device:
            model = AutoModelForCausalLM.from_config(self.base.config, dtype=self.base.dtype)
        model.load_state_dict(self.weights())
        return model

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters that training changes, by name."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def weights(self) -> dict[str, torch.Tensor]:
        """Return all weights under their plain names, adapters merged in: what an engine serves.

        Without LoRA the tensors are the live ones: copy what must not change with the next update.
        """
        if not self.is_lora:
            return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}
        modules = dict(self.base.named_modules())
        merged = {}
        for name, tensor in self.base.state_dict().items():
            if ".lora_" in name:
                continue
            if name.endswith(".base_layer.weight"):
                # Merging in place and undoing it would leave rounding in the frozen weights.
                layer = modules[name.removesuffix(".base_layer.weight")]
                delta = sum(layer.get_delta_weight(a) for a in layer.active_adapters)
                tensor = (tensor + delta).to(tensor.dtype)
            merged[name.replace(".base_layer.", ".")] = tensor.detach()
        return merged

    @torch.no_grad()
    def adapters(self) -> Adapters:
        """Return the LoRA adapters alone, for an engine that has the base weights."""
        from peft import get_peft_model_state_dict

        settings = self.model.peft_config[_ADAPTERS].to_dict()
        plain = {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}
        weights = get_peft_model_state_dict(self.model, adapter_name=_ADAPTERS)
        return Adapters(weights, plain)

    def save(self, directory: Path) -> None:
        """Write a model directory that `load_policy` and any Hugging Face tool can load.

        Raises:
            OSError: The directory cannot be written.
        """
        from transformers import AutoModelForCausalLM

        weights = self.weights()
        base = self.base
        if self.is_lora:
            with torch.device("meta"):
                base = AutoModelForCausalLM.from_config(base.config, dtype=base.dtype)
            base.generation_config = self.base.generation_config
        with _quiet():
            base.save_pretrained(directory, state_dict=untied(base, weights))
        self.tokenizer.save_pretrained(directory)


class Reference:
    """The frozen initial policy: a copy, or with LoRA the same model without its adapters."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._copy = None if policy.is_lora else copy.deepcopy(policy.model).requires_grad_(False)

    @contextmanager
    def model(self) -> Iterator[Any]:
        """Give the reference as a plain transformers model for the length of a `with` block."""
        if self._copy is not None:
            yield self._copy
            return
        with self._policy.model.disable_adapter():
            yield self._policy.base


def resolve_model(name: str) -> Path | str:
    """Return the directory that a model name stands for, or the name if it can be on the Hub.

    Raises:
        MissingModelError: The name is a path, and nothing is there.
        ModelError: A file is there, or a shipped model is missing.
    """
    path = ASSETS / name if name in SHIPPED else Path(name).expanduser()
    if path.is_dir():
        return path
    if name in SHIPPED:
        raise ModelError(
            f"the shipped model {name!r} is missing from this installation; reinstall "
            "agentrl-framework, or make it anew with: agentrl pretrain"
        )
    if path.exists():
        raise ModelError(f"{name} is a file; policy.model takes the directory that holds it")
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise MissingModelError(
            f"there is no model directory {name}; policy.model takes 'tiny', a directory with "
            "config.json, model.safetensors and tokenizer.json, or a Hugging Face name (without a "
            "hub: python -m agentrl.learner.smollm2)"
        )
    return name


def load_policy(config: PolicyConfig, *, seed: int = 0) -> Policy:
    """Load a model and its tokenizer for training.

    Args:
        config: Which model, where to put its weights and in which type, and LoRA.
        seed: Seeds the initial LoRA adapters.

    Raises:
        ConfigError: The device is not there.
        MissingModelError: The directory is missing, or the Hub does not give the model.
        ModelError: The directory is damaged.
        MissingExtraError: LoRA is asked for and peft is not installed.
    """
    device = resolve_device(config.device)
    source = resolve_model(config.model)
    tokenizer = load_tokenizer(source)
    model = _load_model(source, getattr(torch, config.dtype)).to(device).eval()
    if config.lora_rank:
        model = _with_lora(model, config, seed)
    elif config.dtype == "bfloat16":
        warnings.warn(
            "policy.dtype=bfloat16 without LoRA: steps below 0.4% of a weight are rounded away; "
            "use float32 with learner.autocast=true, or set policy.lora_rank",
            stacklevel=2,
        )
    return Policy(model, tokenizer, str(source))


def load_tokenizer(source: Path | str) -> Any:
    """Return the tokenizer of a model directory or Hub name.

    Raises:
        ModelError: It is missing or damaged.
    """
    from transformers import AutoTokenizer

    if isinstance(source, Path):
        _require(source, "config.json")
        if not any((source / name).is_file() for name in _TOKENIZER_FILES):
            raise ModelError(
                f"{source} has no tokenizer (tokenizer.json); save it next to the weights with "
                "tokenizer.save_pretrained"
            )
    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(str(source))
    # Damage shows as almost any exception, depending on the file and the tokenizer class.
    except Exception as error:
        raise _refusal("tokenizer", source, error) from None


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def _load_model(source: Path | str, dtype: torch.dtype) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with _quiet():
            settings = AutoConfig.from_pretrained(str(source))
        for name, value in settings.to_dict().items():
            if name.endswith(("dropout", "pdrop")) and isinstance(value, float):
                setattr(settings, name, 0.0)
        with _quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                str(source), config=settings, dtype=dtype, output_loading_info=True
            )
    # Damage shows as OSError, SafetensorError, ValueError, RuntimeError, … of several libraries.
    except Exception as error:
        raise _refusal("model", source, error) from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights in {source} are incomplete: {len(missing)} tensors are missing, "
            f"first {missing[0]!r}; copy or download the model again"
        )
    return model


def lora_settings(rank: int, alpha: float, asked_by: str) -> Any:
    """Return peft's settings of adapters on all linear layers.

    Raises:
        MissingExtraError: peft is not installed; names the setting that asked for it.
    """
    try:
        from peft import LoraConfig
    except ImportError:
        raise MissingExtraError("peft", "lora", asked_by) from None
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def _with_lora(model: Any, config: PolicyConfig, seed: int) -> Any:
    settings = lora_settings(config.lora_rank, config.lora_alpha, "policy.lora_rank")
    from peft import get_peft_model

    with seeded(seed):
        return get_peft_model(model, settings).eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's stream of the CPU, where adapters are made, for the length of a block."""
    # Forking the streams of all GPUs would take memory on those that servers have.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _require(directory: Path, name: str) -> None:
    if not (directory / name).is_file():
        raise ModelError(
            f"{directory} is not a model directory: it has no {name}; name a directory that "
            "save_pretrained wrote"
        )


def _refusal(what: str, source: Path | str, error: Exception) -> ModelError:
    """Return one line about why a model cannot be loaded, with the mend."""
    reason = one_line(error, 160)
    if isinstance(source, Path):
        return ModelError(
            f"cannot load the {what} in {source}: {reason}; copy or download the model again"
        )
    return MissingModelError(
        f"cannot load the {what} {source!r} from the Hugging Face Hub: {reason}; check the name "
        "and the connection, or download it elsewhere and set policy.model to the directory"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and the Hub's retries out of our own output."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    shown, told = logging.is_progress_bar_enabled(), hub.get_verbosity()
    logging.disable_progress_bar()
    hub.set_verbosity(max(told, ERROR))
    try:
        yield
    finally:
        hub.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()


def untied(model: Any, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights without tied names: safetensors stores each tensor once."""
    if not getattr(model.config, "tie_word_embeddings", False):
        return weights
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    return {name: tensor for name, tensor in weights.items() if name not in tied}
