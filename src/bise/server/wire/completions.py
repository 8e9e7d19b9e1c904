"""POST /v1/completions and /v1/fim/completions: text gone on with, without a chat template.

`echo` with `logprobs` scores a prompt, which is how lm-eval measures likelihoods: the lists are as long as the prompt and
the answer together, the first score is null, and the token that ended the answer is among them. `echo_from`, an extension,
leaves out the beginning of the prompt, which then need not be computed where it is known.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, model_validator

from bise.server.backend import (
    CompletionEvent,
    CompletionRequest,
    Finished,
    PromptTokens,
    ScoredToken,
    TextDelta,
)
from bise.server.wire.cards import usage
from bise.server.wire.chat_answers import Object
from bise.server.wire.fields import INT64, NumTokens, SampledBody, TokenId

MAX_PROMPTS = 128
MAX_PROMPT_TOKENS = 2**20
MAX_SCORES = 5  # alternatives, as OpenAI's API allows
DEFAULT_MAX_TOKENS = 16

Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)]
Texts = Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
ListsOfIds = Annotated[list[Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
Prompt = str | Texts | Ids | ListsOfIds


def prompts_of(prompt: Prompt) -> tuple[str | tuple[int, ...], ...]:
    """One prompt or several, as text or as ids, in the order in which they are numbered."""
    if isinstance(prompt, str):
        return (prompt,)
    if isinstance(prompt[0], int):
        return (tuple(each for each in prompt if isinstance(each, int)),)
    return tuple(each if isinstance(each, str) else tuple(each) for each in prompt if not isinstance(each, int))


class CompletionBody(SampledBody):
    """The body of POST /v1/completions."""

    prompt: Prompt
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=0, lt=INT64)] | None = None
    echo: bool | None = None
    echo_from: Annotated[int, Field(ge=0, lt=MAX_PROMPT_TOKENS)] = 0  # an extension: the first token to tell
    logprobs: Annotated[int, Field(ge=0, le=MAX_SCORES)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens: 0 asks for nothing, unless echo is true")
        if self.suffix and not all(isinstance(prompt, str) for prompt in prompts_of(self.prompt)):
            raise ValueError("suffix needs a prompt of text")
        if len(prompts_of(self.prompt)) * (self.n or 1) > MAX_PROMPTS:
            raise ValueError(f"prompts times n may be at most {MAX_PROMPTS}")
        if self.echo_from and not self.echo:
            raise ValueError("echo_from needs echo: true")
        if self.suffix and self.echo:
            raise ValueError("echo and suffix exclude each other")
        return self

    def to_requests(self) -> list[CompletionRequest]:
        """One request for each prompt.

        Raises:
            UnsupportedError: it asks for something that is not supported.
        """
        self.refuse_unsupported()
        max_tokens = DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens
        sampling = self.sampling(max_tokens, self.logprobs)
        return [
            CompletionRequest(self.model, prompt, sampling, self.suffix or None, bool(self.echo), self.echo_from)
            for prompt in prompts_of(self.prompt)
        ]


class FimBody(SampledBody):
    """The body of POST /v1/fim/completions, as Mistral's client sends it."""

    prompt: str
    suffix: str | None = None
    max_tokens: NumTokens | None = None

    def to_request(self) -> CompletionRequest:
        """Turn the body into what a backend answers.

        Raises:
            UnsupportedError: it asks for something that is not supported.
        """
        self.refuse_unsupported()
        return CompletionRequest(self.model, self.prompt, self.sampling(self.max_tokens, None), self.suffix or "")


@dataclass
class Completed:
    """One completion as it has been written so far."""

    text: list[str] = field(default_factory=list)
    tokens: list[ScoredToken] = field(default_factory=list)
    end: Finished | None = None

    def add(self, event: CompletionEvent) -> None:
        """Take in the next event."""
        match event:
            case PromptTokens(text, tokens) | TextDelta(text=text, tokens=tokens):
                self.text.append(text)
                self.tokens += tokens
            case Finished():
                self.end = event


@dataclass(frozen=True)
class CompletionWriter:
    """Writes the answer to one request; `head` is {id, created, model}."""

    head: Object
    scores: bool  # whether log probabilities are told

    def whole(self, completions: Sequence[Completed], num_answers: int) -> Object:
        """All completions: `num_answers` of the first prompt, then of the second, and so on."""
        ends = [each.end for each in completions if each.end is not None]
        choices = [
            self._choice(index, "".join(each.text), each.tokens, each.end, 0) for index, each in enumerate(completions)
        ]
        return {
            **self.head,
            "object": "text_completion",
            "choices": choices,
            "usage": total_usage(ends, num_answers),
        }

    def chunk(self, index: int, event: CompletionEvent, offset: int) -> Object:
        """A piece of a completion that begins at a character."""
        if isinstance(event, Finished):
            choice = self._choice(index, "", (), event, offset)
        else:
            choice = self._choice(index, event.text, event.tokens, None, offset)
        return {**self.head, "object": "text_completion", "choices": [choice]}

    def usage_alone(self, total: dict[str, int]) -> Object:
        """The chunk after the last, for clients that ask for it."""
        return {**self.head, "object": "text_completion", "choices": [], "usage": total}

    def _choice(
        self, index: int, text: str, tokens: Sequence[ScoredToken], end: Finished | None, offset: int
    ) -> Object:
        reason = None if end is None else end.finish_reason
        scores = _scores(tokens, offset) if self.scores and (tokens or end is not None) else None
        return {"index": index, "text": text, "finish_reason": reason, "logprobs": scores}


def total_usage(ends: Sequence[Finished], num_answers: int) -> dict[str, int]:
    """The tokens of a request: each prompt once, and all answers."""
    num_prompt_tokens = sum(end.num_prompt_tokens for end in ends) // max(num_answers, 1)
    return usage(num_prompt_tokens, sum(end.num_completion_tokens for end in ends))


def _scores(tokens: Sequence[ScoredToken], offset: int) -> Object:
    """Four lists of one length; `top_logprobs` always holds the likeliest token."""
    offsets, decoder = [], codecs.getincrementaldecoder("utf-8")("ignore")
    for token in tokens:
        offsets.append(offset)
        offset += len(decoder.decode(token.data))
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_top(token) for token in tokens],
        "text_offset": offsets,
    }


def _top(token: ScoredToken) -> dict[str, float] | None:
    """Likeliest first: of two tokens that read alike the likelier one counts, and the token's own score is there."""
    if token.logprob is None:
        return None
    top: dict[str, float] = {}
    for other in token.top:
        assert other.logprob is not None
        top.setdefault(other.text, other.logprob)
    top.setdefault(token.text, token.logprob)
    return top
