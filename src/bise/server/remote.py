"""The backend that asks another server which speaks OpenAI's dialect: vLLM, llama-server, Ollama, Mistral, OpenAI.

A request is tried again only before the first byte of its answer; closing an answer closes the connection, by which all
of these servers know that nobody reads any more. Keys are sent to their server alone, and never logged.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx

from bise.errors import BiseError, InputError, NotFoundError, UnavailableError
from bise.messages import Conversation
from bise.server.backend import (
    ChatEvent,
    ChatRequest,
    CompletionEvent,
    CompletionRequest,
    EmbeddingRequest,
    Embeddings,
    Finished,
    ModelInfo,
    TextDelta,
    TextTokenizer,
    UnsupportedError,
    no_such_model,
)
from bise.server.errors import RETRY_AFTER_S, ApiError
from bise.server.upstream import DIALECTS, Upstream, chat_body, completion_body
from bise.server.upstream_answer import UpstreamAnswer

log = logging.getLogger(__name__)
_AGAIN = (429, 502, 503, 504)
_LONGEST_PAUSE_S = 5.0
_FIRST_PAUSE_S = 0.25
_END_S = 0.25  # for the end of a stream after its last event
_LONGEST_LINE = 16 << 20  # bytes of one event
_MAX_CONNECTIONS = 1024
Object = dict[str, Any]


class RemoteBackend:
    """One other server; requests wait for nothing, models are known after `start`."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        key = upstream.read_key()
        self._client = httpx.AsyncClient(
            base_url=upstream.url.rstrip("/") + "/",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(upstream.timeout_s, connect=upstream.connect_timeout_s),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=64),
            trust_env=False,  # bise.config alone reads the environment
        )
        self._models: dict[str, ModelInfo] = {}
        self._names = dict(upstream.models)
        self._ready = False

    async def start(self) -> None:
        """Ask for the models.

        Raises:
            UnavailableError: it does not answer, and the file does not say which models it has.
        """
        try:
            cards = {str(card["id"]): card for card in (await self._get("models")).get("data") or ()}
            self._ready = True
        except BiseError as error:
            if not self._names:
                raise
            log.warning("%s did not tell its models: %s", self.upstream.name, error)
            cards = {}
        self._names = self._names or {name: name for name in cards}
        self._models = {alias: self._info(alias, cards.get(name, {})) for alias, name in self._names.items()}

    @property
    def ready(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._ready

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that it has, by the names that they have here."""
        return tuple(self._models.values())

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """Ask how long a prompt is; of servers that do not tell, a guess that is rather too high."""
        name = self._name(model)
        if self.upstream.kind in ("vllm", "bise"):
            messages = [{"role": m.role, "content": m.content} for m in conversation.messages]
            root = self.upstream.url.rstrip("/").removesuffix("/v1")
            answer = await self._post(f"{root}/tokenize", {"model": name, "messages": messages})
            return int(answer["count"])
        return sum(8 + len(message.content.encode()) // 3 for message in conversation.messages)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Send a request, and return its answer as soon as the other server has begun it."""
        dialect = DIALECTS[self.upstream.kind]
        body = chat_body(request, self.upstream, self._name(request.model))
        answer = UpstreamAnswer(
            self.upstream.name, request.sampling.n, request.tally, request.prefix if dialect.repeats_prefix else ""
        )
        return self._events(await self._open("chat/completions", body), answer)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """The same for text without a chat template."""
        body = completion_body(request, self.upstream, self._name(request.model))
        path = "fim/completions" if request.suffix is not None and DIALECTS[self.upstream.kind].fim else "completions"
        answer = UpstreamAnswer(self.upstream.name, request.sampling.n, request.tally)
        return _text_only(self._events(await self._open(path, body), answer))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Let the other server turn texts into vectors."""
        inputs = [text if isinstance(text, str) else list(text) for text in request.inputs]
        body = {"model": self._name(request.model), "input": inputs, "encoding_format": "float"}
        answer = await self._post("embeddings", body)
        rows = sorted(answer.get("data") or (), key=lambda row: int(row["index"]))
        if len(rows) != len(inputs):
            raise UnavailableError(f"{self.upstream.name} gave {len(rows)} vectors for {len(inputs)} texts.")
        usage = answer.get("usage") or {}
        return Embeddings(tuple(row["embedding"] for row in rows), int(usage.get("prompt_tokens") or 0))

    async def tokenizer(self, model: str) -> TextTokenizer:
        """Say that the vocabulary is not known here."""
        self._name(model)
        raise UnsupportedError(f"The vocabulary of {model} is not known here: {self.upstream.name} has it.", "model")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _info(self, alias: str, card: Object) -> ModelInfo:
        told = (card.get(name) for name in ("max_model_len", "max_context_length", "context_length"))
        length = next((int(value) for value in told if value), None) or (card.get("meta") or {}).get("n_ctx")
        dialect = DIALECTS[self.upstream.kind]
        return ModelInfo(
            id=alias,
            context_length=length or self.upstream.context_length,
            created=int(card.get("created") or 0),
            fills_in_the_middle=dialect.fim or dialect.suffix,
            tells_probabilities="logprobs" in dialect.extras,
            description=f"Answered by {self.upstream.name}.",
            owned_by=self.upstream.name,
        )

    def _name(self, model: str) -> str:
        if model not in self._models:
            raise no_such_model(model, self.models())
        return self._names[model]

    async def _get(self, path: str) -> Object:
        return await self._whole(self._client.build_request("GET", path))

    async def _post(self, path: str, body: Object) -> Object:
        return await self._whole(self._client.build_request("POST", path, json=body))

    async def _whole(self, request: httpx.Request) -> Object:
        response = await self._begin(request)
        try:
            value = json.loads(await response.aread())
        except httpx.HTTPError as error:
            raise self._away(error) from None
        except ValueError:
            raise UnavailableError(f"{self.upstream.name} did not answer in JSON.") from None
        finally:
            await response.aclose()
        return value if isinstance(value, dict) else {"data": value}

    async def _open(self, path: str, body: Object) -> httpx.Response:
        return await self._begin(self._client.build_request("POST", path, json=body))

    async def _begin(self, request: httpx.Request) -> httpx.Response:
        """Send a request until the head of a good answer comes, as often as may be.

        Raises:
            BiseError: the other server refused it, or does not answer.
        """
        for attempt in range(self.upstream.retries + 1):
            is_last = attempt == self.upstream.retries
            try:
                response = await self._client.send(request, stream=True)
            except httpx.HTTPError as error:
                self._ready = False
                if is_last:
                    raise self._away(error) from None
                pause_s = _FIRST_PAUSE_S * 2**attempt
            else:
                self._ready = True
                if response.is_success:
                    return response
                if is_last or response.status_code not in _AGAIN:
                    raise await self._refusal(response)
                pause_s = _pause_s(response, attempt)
                await response.aclose()
            await asyncio.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def _events(self, response: httpx.Response, answer: UpstreamAnswer) -> AsyncGenerator[ChatEvent, None]:
        pieces = _server_sent(response)
        try:
            async for data in pieces:
                if data == b"[DONE]":
                    await _read_end(pieces)
                    break
                for event in answer.feed(_object(data)):
                    yield event
            for end in answer.finish():
                yield end
        except (httpx.HTTPError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise self._away(error) from None
        finally:
            await response.aclose()

    async def _refusal(self, response: httpx.Response) -> BiseError:
        """What the other server's refusal means to our client."""
        try:
            words = _words(await response.aread())
        except httpx.HTTPError:
            words = "it gave no reason"
        finally:
            await response.aclose()
        name, status = self.upstream.name, response.status_code
        said = f"{name} answered {status}: {words}"
        if status in (401, 403):
            log.error("%s refuses the key that its table names.", name)
            return UnavailableError(f"{name} refuses this server's key. Its operator has to correct it.")
        if status == 404:
            return NotFoundError(said, code="refused_elsewhere")
        if status == 429:
            headers = {"retry-after": response.headers.get("retry-after", str(RETRY_AFTER_S))}
            return ApiError(429, said, code="rate_limited", headers=headers)
        return InputError(said) if 400 <= status < 500 else UnavailableError(said)

    def _away(self, error: Exception) -> UnavailableError:
        what = "took too long" if isinstance(error, httpx.TimeoutException) else "does not answer as it should"
        message = f"{self.upstream.name} {what} ({type(error).__name__}). Ask again later."
        return UnavailableError(message, code="server_away", server=self.upstream.name)


async def _read_end(pieces: AsyncGenerator[bytes, None]) -> None:
    """Read what is left of a whole answer, nothing but its end, so that its connection can be used again."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError, ValueError):  # the answer is whole already
        async with asyncio.timeout(_END_S):
            async for _ in pieces:
                pass


async def _text_only(events: AsyncGenerator[ChatEvent, None]) -> AsyncGenerator[CompletionEvent, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta | Finished):
                yield event


async def _server_sent(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The data of server-sent events, line by line."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
        if len(rest) > _LONGEST_LINE:
            raise ValueError("an event without an end")
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


def _object(data: bytes) -> Object:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise TypeError("an event is no object")
    return value


def _pause_s(response: httpx.Response, attempt: int) -> float:
    """How long to wait before the next attempt: as long as was asked for, within reason."""
    asked = response.headers.get("retry-after", "")
    wanted = float(asked) if asked.isdecimal() else _FIRST_PAUSE_S * 2**attempt
    return min(wanted, _LONGEST_PAUSE_S)


def _words(content: bytes) -> str:
    """The sentence in an error's body, wherever the server puts it."""
    try:
        value = json.loads(content)
    except ValueError:
        return content[:200].decode(errors="replace") or "it gave no reason"
    for key in ("error", "message", "detail"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return str(value)[:500]
