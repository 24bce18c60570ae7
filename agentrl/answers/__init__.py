"""The policy's belief in a reference answer: what is scored, after which prefixes, and by whom."""

from agentrl.answers.block import AnswerBlock, AnswerWriter, answer_template
from agentrl.answers.engine import EngineAnswerScorer, score_answers
from agentrl.answers.prefixes import Prefixes, prefixes_of, signal_of

__all__ = [
    "AnswerBlock",
    "AnswerWriter",
    "EngineAnswerScorer",
    "Prefixes",
    "answer_template",
    "prefixes_of",
    "score_answers",
    "signal_of",
]
