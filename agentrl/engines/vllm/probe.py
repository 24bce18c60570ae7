"""Asks a server what it is before it is trusted: model, vocabulary, endpoints, probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from agentrl.engines.base import Sampling
from agentrl.engines.connections import certificates
from agentrl.engines.vllm.client import error_text
from agentrl.engines.vllm.command import INSIDE, WORKER_EXTENSION
from agentrl.engines.vllm.reference import Reference
from agentrl.engines.vllm.wire import Answer, sampled, sampling_body
from agentrl.errors import ConfigError, EngineFault

_SECONDS = 120.0
"""The first request of a server may compile kernels."""
_ENDPOINTS = ("/collective_rpc", "/pause", "/update_weight_version")
_CERTAIN = 1e-3
_INFO = "/server_info?config_format=json"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    name: str
    """The model's name in requests."""
    context_length: int
    """Most ids of prompt and completion."""
    version: str
    """Of vLLM."""
    packs_head: bool
    """Whether it multiplies by a packed copy of the head, to be renewed after each update."""


class _Card(msgspec.Struct):
    id: str
    max_model_len: int | None = None
    parent: str | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


def probe_server(
    url: str, reference: Reference, *, name: str | None = None, api_key: str | None = None
) -> ServerFacts:
    """Return what a server is, having made sure that it can serve the policy.

    Args:
        url: Of the server, without `/v1`.
        reference: The policy.
        name: The model's name in requests; None: the server's only one.
        api_key: Sent with each request.

    Raises:
        EngineFault: Nothing answers, or something that is no vLLM.
        ConfigError: It serves another model, lacks an endpoint, or reports other probabilities.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    with httpx.Client(
        base_url=url, headers=headers, timeout=_SECONDS, **connection_settings(url)
    ) as http:
        try:
            return _Probe(http, url, reference).facts(name)
        except httpx.ConnectError as error:
            raise EngineFault(
                f"no server answers at {url} ({error}); start one, or leave out the engine option "
                "urls to have one started"
            ) from None
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise EngineFault(f"the server at {url} does not answer properly ({what})") from None


def connection_settings(url: str) -> dict[str, Any]:
    """Return what httpx is to know of a server: no proxies, and TLS only where it is used."""
    return {"trust_env": False, "verify": certificates(url) or False}


class _Probe:
    """The questions to one server."""

    def __init__(self, http: httpx.Client, url: str, reference: Reference) -> None:
        self._http = http
        self._url = url
        self._vocabulary = reference.vocabulary
        self._is_tied = reference.is_tied
        self._version = "of unknown version"

    def facts(self, name: str | None) -> ServerFacts:
        card = self._card(name)
        self._version = self._read_version()
        if card.max_model_len is None:
            raise EngineFault(f"the server at {self._url} names no max_model_len; is it vLLM?")
        for endpoint in _ENDPOINTS:
            self._need_endpoint(endpoint)
        # Whoever used the server before may have ended amid an update.
        self._http.post("/resume")
        self._need_vocabulary(card.id)
        self._need_processed(card.id)
        settings = self._settings()
        on_cpu = _told(settings, "device_config", "device") == "cpu"
        if on_cpu and _told(settings, "scheduler_config", "enable_chunked_prefill"):
            raise ConfigError(
                f"the server at {self._url} runs on a CPU, and would die of a request with a seed "
                "whose prompt it reads in several steps; start it with --no-enable-chunked-prefill "
                f"--max-num-batched-tokens {card.max_model_len}"
            )
        packs_head = self._is_tied and on_cpu
        if packs_head:
            self._need_extension()
        return ServerFacts(card.id, card.max_model_len, self._version, packs_head)

    def _card(self, name: str | None) -> _Card:
        response = self._http.get("/v1/models")
        try:
            cards = msgspec.json.decode(response.content, type=_Cards).data
        except msgspec.MsgspecError:
            raise EngineFault(
                f"what answers at {self._url} is no vLLM server: /v1/models gave status "
                f"{response.status_code}: {error_text(response.content)}"
            ) from None
        bases = [card for card in cards if card.parent is None]
        wanted = [card for card in bases if name in (None, card.id)]
        if len(wanted) != 1:
            names = ", ".join(card.id for card in bases) or "none"
            raise ConfigError(
                f"the server at {self._url} serves {names}, not {name or 'one model'}; set the "
                "engine option served_name"
            )
        return wanted[0]

    def _read_version(self) -> str:
        try:
            return str(msgspec.json.decode(self._http.get("/version").content)["version"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return "of unknown version"

    def _need_endpoint(self, path: str) -> None:
        # Asked with the wrong method: 405 where it exists, 404 where not.
        if self._http.get(path).status_code == 404:
            raise ConfigError(
                f"the server at {self._url} (vLLM {self._version}) has no {path}, so the policy's "
                "weights cannot follow the learner; start it with VLLM_SERVER_DEV_MODE=1 set, and "
                "use vLLM 0.32 or later"
            )

    def _need_vocabulary(self, model: str) -> None:
        """Make sure that the policy's last id exists, and none after it."""
        size = self._vocabulary
        last, beyond = self._draw(model, size - 1), self._draw(model, size)
        if last.status_code == 400 or beyond.status_code == 200:
            relation = "more" if beyond.status_code == 200 else "fewer"
            raise ConfigError(
                f"the server at {self._url} serves another model: it knows {relation} ids than the "
                f"policy's {size}; start it with --model and the policy's directory"
            )

    def _need_processed(self, model: str) -> None:
        """Make sure that log-probabilities are those of the distribution drawn from."""
        response = self._draw(model, self._vocabulary - 1)
        if response.status_code != 200:
            raise EngineFault(
                f"the server at {self._url} cannot complete: {error_text(response.content)}"
            )
        try:
            answer = msgspec.json.decode(response.content, type=Answer)
        except msgspec.MsgspecError as error:
            raise EngineFault(f"the server at {self._url} answered nonsense ({error})") from None
        ids, logprobs, _ = sampled(answer, self._url)
        # The only id allowed is certain, unless restrictions are left out of account.
        if ids != [self._vocabulary - 1] or abs(logprobs[0]) > _CERTAIN:
            raise ConfigError(
                f"the server at {self._url} reports probabilities of another distribution than it "
                "samples from; start it with --logprobs-mode processed_logprobs"
            )

    def _settings(self) -> Any:
        """Return what the server was started with; None where it does not tell."""
        try:
            return msgspec.json.decode(self._http.get(_INFO).content)["vllm_config"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return None

    def _need_extension(self) -> None:
        body = {"method": "renew_head"}
        if self._http.post("/collective_rpc", json=body).status_code != 200:
            raise ConfigError(
                f"the server at {self._url} runs on a CPU, and updates would not reach the head of "
                f"a model with tied embeddings; start it with --worker-extension-cls "
                f"{WORKER_EXTENSION} and {INSIDE} on its PYTHONPATH"
            )

    def _draw(self, model: str, only: int) -> httpx.Response:
        body: dict[str, Any] = sampling_body(
            model, [0], Sampling(max_tokens=1), allowed_token_ids=[only]
        )
        return self._http.post("/v1/completions", json=body)


def _told(settings: Any, section: str, name: str) -> Any:
    """Return one setting of a server; None where it does not tell."""
    try:
        return settings[section][name]
    except (KeyError, TypeError):
        return None
