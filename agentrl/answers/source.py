"""Who measures the belief in the answer in a training run, from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrl.answers.block import AnswerWriter, answer_template
from agentrl.answers.engine import EngineAnswerScorer
from agentrl.config import Config
from agentrl.dialogue.factory import ConversationFactory
from agentrl.engines.base import Engine
from agentrl.env import TextEnv

if TYPE_CHECKING:
    from agentrl.learner.answers import AnswerScorer
    from agentrl.learner.policy import Policy


def answer_source(
    config: Config,
    env: TextEnv,
    dialogues: ConversationFactory,
    policy: Policy,
    engine: Engine,
) -> AnswerScorer | EngineAnswerScorer:
    """Return the source of the signal `answer_logprob`.

    Args:
        config: Its `answer` section says how answers are written and who scores them.
        env: Says how an answer is given where the configuration does not.
        dialogues: Their format says how actions are written.
        policy: Is scored, with its tokenizer.
        engine: Scores under `answer.scorer=engine`; its context bounds prefixes in any case.

    Raises:
        ConfigError: Nobody says how an answer is written, or the template does not hold it.
        ModelError: The model cannot be scored packed.
    """
    template = answer_template(config.answer.template, env.answer_template, dialogues.rules.format)
    write = AnswerWriter(policy.tokenizer, template)
    if config.answer.scorer == "engine":
        return EngineAnswerScorer(engine, write)
    from agentrl.learner.answers import AnswerScorer

    return AnswerScorer(policy, config.learner, write, context_length=engine.context_length)
