"""How models learn: the policy, and reward model and critic beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agentrl.config.section import Section


class EntropySmoothingConfig(Section):
    """Entropy regularisation held near its own history (EPO)."""

    weight: float = Field(0.001, gt=0)
    """Weight of the whole term in the loss."""
    penalty: float = Field(0.1, ge=0)
    """Weight of leaving the corridor (published: 0.1 ALFWorld, 0.05 ScienceWorld)."""
    low: float = Field(0.0, ge=0)
    """The corridor begins at this multiple of the mean entropy of the updates so far."""
    high: float = Field(2.0, gt=0)
    """The corridor ends at this multiple."""
    decay: float = Field(3.0, ge=0)
    """The corridor's share is 1 + exp(-decay k / half), k updates into a run of 2 half."""


class AdaptiveClipConfig(Section):
    """Clip bounds searched anew for each minibatch (BAPO), as ratios, not distances from 1."""

    target: float = Field(0.4, gt=0, lt=1)
    """The share of the surrogate that tokens with positive advantage must reach (not verified:
    a summary of the paper says 0.4, the authors' code 0.5)."""
    first: Literal["high", "low"] = "high"
    """The bound that is raised first: the upper one as in the paper, or the lower one as in the
    authors' code."""
    low: tuple[float, float] = (0.6, 0.9)
    """Where the lower bound starts, and how far it may be raised."""
    high: tuple[float, float] = (1.2, 3.0)
    """Where the upper bound starts, and how far it may be raised."""
    low_step: float = Field(0.02, gt=0)
    """By how much the lower bound is raised at a time."""
    high_step: float = Field(0.05, gt=0)
    """By how much the upper bound is raised at a time."""
    by_probability: bool = True
    """Weigh each token by the probability it was drawn with (the paper does, the code does not)."""


class LearnerConfig(Section):
    """How the policy is updated."""

    learning_rate: float = Field(1e-6, gt=0)
    """Step size of AdamW, after warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate goes on after warm-up; `cosine` falls to zero at the last update."""
    warmup_steps: int = Field(0, ge=0)
    """Optimiser steps over which the learning rate rises from zero."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW, decoupled."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    epochs: int = Field(1, ge=1)
    """Passes over each batch."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass."""
    pack_tokens: int = Field(8192, ge=1)
    """Tokens per forward pass; gradients accumulate over the packs of a minibatch."""
    loss: Literal["ppo", "gspo", "cispo"] = "ppo"
    """ppo: clip each token's objective; gspo: clip by the ratio of whole sequences; cispo: clip
    the ratio as a constant weight, so that every token keeps a gradient."""
    clip_low: float | None = Field(None, gt=0)
    """The probability ratio is clipped at 1 - clip_low; None: 0.2 (ppo), 0.0003 (gspo), no bound
    (cispo)."""
    clip_high: float | None = Field(None, gt=0)
    """And at 1 + clip_high (above clip_low: clip-higher, DAPO 0.28); None: 0.2 (ppo), 0.0004
    (gspo), 0.28 (cispo; not verified, the paper gives no number)."""
    dual_clip: float | None = Field(3.0, gt=1)
    """With ppo: bound on the loss of tokens with negative advantage; None: off."""
    adaptive_clip: AdaptiveClipConfig | None = None
    """With ppo: search the clip bounds (BAPO); None: they are fixed."""
    sequence: Literal["segment", "turn"] = "segment"
    """What a sequence is to gspo and to importance weights: all that the policy chose in a training
    segment (the whole episode under full memory), or in one turn."""
    aggregation: (
        Literal[
            "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"
        ]
        | None
    ) = None
    """How token losses become one number, over episodes (gspo: over its sequences); None:
    token-mean (ppo, cispo), seq-mean-token-mean (gspo)."""
    norm_length: int = Field(1024, ge=1)
    """The constant of `seq-mean-token-sum-norm`."""
    kl: Literal["none", "loss", "reward"] = "none"
    """Where the KL to the reference (the initial policy) acts."""
    kl_coefficient: float = Field(0.01, ge=0)
    """Weight of the KL term."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """Of `kl=loss`: k1, log-ratio; k2, half its square; k3, unbiased and never negative. With
    `kl=reward` it is always k1: as rewards the others have another gradient than the KL."""
    entropy_coefficient: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""
    entropy_smoothing: EntropySmoothingConfig | None = None
    """Entropy bonus held in a corridor around its history (EPO); None: off."""
    covariance: Literal["none", "clip", "kl"] = "none"
    """With ppo, against entropy collapse: mute some tokens of high covariance between advantage
    and log-probability (Clip-Cov), or hold the highest with a KL penalty and clip none (KL-Cov)."""
    covariance_share: float = Field(2e-4, gt=0, le=1)
    """Share of a minibatch's tokens that is picked, at least one."""
    covariance_low: float = 1.0
    """Clip-Cov picks among covariances above this."""
    covariance_high: float = 5.0
    """Clip-Cov picks among covariances below this."""
    covariance_penalty: float = Field(1.0, ge=0)
    """Weight of the KL penalty of KL-Cov."""
    importance: Literal["none", "tis", "icepop"] = "tis"
    """How token losses are weighted by the ratio of the learner's probability to the engine's:
    tis: truncated at `importance_cap`; icepop: 0 outside `importance_low` to `importance_high`."""
    importance_level: Literal["token", "sequence"] | None = None
    """Whose ratio it is; None: token (ppo, cispo), sequence (gspo)."""
    importance_cap: float = Field(2.0, gt=0)
    """The largest weight under tis."""
    importance_low: float = Field(0.5, ge=0)
    """The smallest ratio that counts under icepop."""
    importance_high: float = Field(5.0, gt=0)
    """The largest ratio that counts under icepop."""
    importance_mask: Literal["none", "token", "sequence", "geometric", "worst"] = "none"
    """Reject, as if never sampled, tokens whose ratio is out of range, or sequences: by their
    ratio, its geometric mean per token, or their worst token (MIS)."""
    importance_mask_low: float | None = Field(None, ge=0)
    """Reject ratios below; None: 0.6 (token), 0.5 (sequence), 1/1.001 (geometric), 0.0001 (worst).
    The last two are typical values, not verified."""
    importance_mask_high: float | None = Field(None, gt=0)
    """Reject ratios above; None: 1.4 (token), 2 (sequence), 1.001 (geometric), 10000 (worst)."""
    autocast: bool = False
    """bfloat16 autocast in forward and backward."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: slower, less memory."""


class AnswerConfig(Section):
    """How the policy's belief in the reference answer is measured (signal `answer_logprob`)."""

    template: str | None = None
    """The completion that gives the answer, with `{answer}` in its place; None: as the environment
    and the dialogue's format write it."""
    scorer: Literal["learner", "engine"] = "learner"
    """Who computes it: the learner in one packed forward, or the engine, prefix by prefix."""


class SecondModelConfig(Section):
    """What reward model and critic share."""

    weights: Literal["copy", "lora"] = "copy"
    """A full copy of the policy, or LoRA adapters on the same base weights."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the adapters."""
    lora_alpha: float = Field(32.0, gt=0)
    """LoRA scale numerator."""
    learning_rate: float = Field(1e-5, gt=0)
    """Step size of AdamW, without weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""


class PrmConfig(SecondModelConfig):
    """The implicit process reward model (signal `prm_log_ratio`)."""

    learning_rate: float = Field(1e-6, gt=0)
    """Step size of AdamW, without weight decay."""
    max_grad_norm: float = Field(10.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    learns: bool = True
    """Whether it learns from each batch, after its scores of the batch were used."""
    reduce: Literal["sum", "mean"] = "sum"
    """How the step rewards of an episode become its score."""
    margin: float | None = Field(None, gt=0)
    """Pair episodes whose returns differ by at least this; None: solved ones with the others."""


class CriticConfig(SecondModelConfig):
    """The critic (signal `value`), with a value head on top."""

    clip: float | None = Field(0.5, gt=0)
    """How far a value may move in one update before it earns nothing more; None: off."""
    epochs: int = Field(1, ge=1)
    """Passes over each batch."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass."""
