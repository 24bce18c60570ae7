"""What an endpoint's refusal means: wait, end the episode, or one line that says what to mend."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from agentrl.engines.connections import Reply
from agentrl.engines.openai.options import Endpoint
from agentrl.engines.openai.wire import read_json
from agentrl.errors import AgentRLError, ConfigError, ContextOverflow, EngineFault

_PASSING = frozenset({408, 409, 425, 429})
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")
_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum model length|max_model_len|max_new_tokens"
    r"|(prompt|input|messages?) (is|are) too long|too many (input |prompt )?tokens"
    r"|token count.*exceed|exceeds? the (maximum|max) (number of|allowed) ",
    re.IGNORECASE,
)
"""How servers say it: OpenAI, vLLM, llama.cpp, SGLang, TGI, Anthropic, Gemini, Mistral, Ollama."""
_FILTERED = re.compile(
    r"content[ _-]?(filter|policy|management policy|exists risk)|moderation|flagged|guardrail"
    r"|data[ _-]?inspection|inappropriate content|prohibited[ _]content|usage polic(y|ies)"
    r"|responsible ?ai",
    re.IGNORECASE,
)
"""How OpenAI, Azure, OpenRouter, Bedrock, Gemini, DeepSeek and Qwen say it of a prompt."""
_FIELDS = ("temperature", "top_p", "seed", "max_tokens")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is none."""

    status: int
    text: str
    """What it says, on one line."""
    code: str = ""
    """The endpoint's word for it, where it has one."""
    wait: float | None = None
    """For how many seconds it asks not to be asked again."""

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return not self.is_spent and (self.status in _PASSING or self.status >= 500)

    @property
    def is_spent(self) -> bool:
        """Whether the account behind the key has nothing left."""
        return self.status == 402 or self.code in _SPENT

    @property
    def is_too_long(self) -> bool:
        """Whether the model has no room for the prompt."""
        if self.status not in (400, 413, 422, 500):
            return False
        return _TOO_LONG.search(f"{self.code} {self.text}") is not None

    @property
    def is_filtered(self) -> bool:
        """Whether what the prompt says is refused, by a content filter or moderation."""
        if self.status not in (400, 403, 422, 451):
            return False
        return _FILTERED.search(f"{self.code} {self.text}") is not None

    def names(self, field: str) -> bool:
        """Return whether it speaks of a field of the request."""
        return re.search(rf"(?<!\w){re.escape(field)}(?!\w)", self.text) is not None


def read_refusal(reply: Reply, endpoint: Endpoint) -> Refusal:
    """Return what a refusing reply says; its text does not hold the key."""
    try:
        content = read_json(reply.content)
    except ValueError:
        text = "it sent a web page" if is_page(reply) else reply.text
        return Refusal(reply.status, _line(text, endpoint), wait=_wait(reply.headers))
    return refusal_in(content, reply.status, endpoint, _wait(reply.headers))


def refusal_in(content: Any, status: int, endpoint: Endpoint, wait: float | None = None) -> Refusal:
    """Return what the body of a refused request says; some are refused with status 200."""
    found = content
    for name in ("error", "detail", "message"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
            break
    code = ""
    number: Any = None
    if isinstance(found, dict):
        number = found.get("code")
        code = str(number or found.get("type") or "")
        found = found.get("message", found)
    if status < 300:
        status = number if isinstance(number, int) and 400 <= number < 600 else 500
    return Refusal(status, _line(str(found), endpoint), code, wait)


def explain(
    refusal: Refusal,
    endpoint: Endpoint,
    body: Mapping[str, Any],
    *,
    models: Sequence[str] | None = None,
    has_worked: bool = False,
) -> AgentRLError:
    """Return the error behind a refusal that does not pass.

    Args:
        refusal: What the endpoint said.
        endpoint: Which one.
        body: What was asked.
        models: What it offers, where it says so.
        has_worked: Whether it has answered a request before: then the settings are right, and
            what it refuses is this request.
    """
    said = f"{endpoint.url} refuses the request (status {refusal.status}): {refusal.text}"
    if refusal.is_too_long:
        return ContextOverflow(f"{said}; use dialogue.memory=window or a smaller max_turn_tokens")
    if refusal.is_filtered:
        return EngineFault(said)
    if refusal.is_spent:
        return ConfigError(f"{said}; what has been played is kept, and the same command goes on")
    # Once the key was good, what is forbidden is this request; a key that is revoked gives 401.
    if refusal.status == 401 or (refusal.status == 403 and not has_worked):
        return ConfigError(f"{said}; {_key_mend(endpoint)}")
    if refusal.status in (404, 405):
        return ConfigError(f"{said}; {_place_mend(endpoint, str(body['model']), models)}")
    if 300 <= refusal.status < 400:
        return ConfigError(f"{said}; it sends elsewhere: give the URL that it names")
    field = next((name for name in _FIELDS if name in body and refusal.names(name)), None)
    if field is not None:
        return ConfigError(f"{said}; to leave it out: engine.options.omit=[{field}]")
    if "top_k" in body and refusal.names("top_k"):
        return ConfigError(f"{said}; to leave it out: sampling.top_k=0")
    if has_worked:
        return EngineFault(said)
    return ConfigError(f"{said}; look at engine.options and the model's documentation")


def _key_mend(endpoint: Endpoint) -> str:
    if endpoint.key:
        return f"check the API key in the environment variable {endpoint.key_source}"
    return (
        "no API key was sent: put it into an environment variable and name that with "
        f"engine.options.api_key_env={endpoint.key_source}"
    )


def _place_mend(endpoint: Endpoint, model: str, models: Sequence[str] | None) -> str:
    if models and model not in models:
        shown = ", ".join(models[:20]) + (", …" if len(models) > 20 else "")
        return f"it has no model {model!r}, but: {shown}"
    if not endpoint.url.endswith("/v1"):
        return f"is the URL {endpoint.url}/v1?"
    return f"does it have the model {model!r}, and chat completions?"


def is_page(reply: Reply) -> bool:
    """Return whether a reply is a web page."""
    kind = reply.headers.get("content-type", "")
    return "html" in kind or reply.content.lstrip()[:1] == b"<"


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for."""
    try:
        if "retry-after-ms" in headers:
            return max(float(headers["retry-after-ms"]) / 1000, 0.0)
        text = headers.get("retry-after", "")
        if not text:
            return None
        if text.strip().replace(".", "", 1).isdecimal():
            return float(text)
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def _line(text: str, endpoint: Endpoint) -> str:
    line = " ".join(endpoint.hide(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
