"""The seam to whatever answers: an engine on this machine, or another server.

A backend is asked in two steps. `await backend.chat(request)` checks the request and raises what is wrong with it, so
that a server can still answer with a status; iterating over what it returns makes the tokens. Closing that iterator
frees whatever answers within a step.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bise.errors import InputError, NotFoundError
from bise.messages import Conversation

FinishReason = Literal["stop", "length", "tool_calls"]
DEFAULT_TEMPERATURE = 0.3


@dataclass(frozen=True)
class ModelInfo:
    """A model on offer."""

    id: str
    context_length: int  # tokens, prompt and answer together
    created: int  # seconds since 1970
    demonstration: bool = False  # the small model inside the package
    card_markdown: str = ""
    parent: str | None = None  # the model that an adapter is for
    fills_in_the_middle: bool = False
    calls_tools: bool = True
    tells_probabilities: bool = True  # whether log probabilities can be asked for
    description: str = ""  # one line for its card
    owned_by: str = "bise"


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen and when an answer ends; every backend checks the ranges of what it is asked for."""

    temperature: float = DEFAULT_TEMPERATURE  # 0 takes the likeliest token
    top_p: float = 1.0  # (0, 1]
    top_k: int = 0  # 0: from all tokens
    min_p: float = 0.0  # 0 to 1: leave out tokens less likely than this share of the likeliest one
    max_tokens: int | None = None  # None: what the context leaves
    min_tokens: int = 0
    seed: int | None = None  # None: another answer each time
    stop: tuple[str, ...] = ()  # the answer ends before the first of these, which is not part of it
    presence_penalty: float = 0.0  # -2 to 2
    frequency_penalty: float = 0.0  # -2 to 2
    repetition_penalty: float = 1.0  # 1: off
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, -100 to 100)
    n: int = 1  # answers
    logprobs: int | None = None  # alternatives to report with each token; None: no log probabilities


@dataclass(frozen=True)
class ToolChoice:
    """Whether the conversation's tools may or must be called."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None  # with "required": this tool and no other
    parallel: bool = True  # whether one answer may hold several calls


@dataclass(frozen=True)
class ResponseFormat:
    """What the text of an answer must be."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] | None = None  # of "json_schema"
    name: str = ""  # of the schema, as the client calls it


@dataclass
class Tally:
    """What a request has used so far. The backend keeps it right, however the answer ends, and this is what is billed."""

    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    queue_place: int = 0  # number by arrival among those that wait for a place in the engine; 0: it does not wait


@dataclass(frozen=True)
class ChatRequest:
    """One answer to be made, or several. A trailing assistant message is its beginning, and is part of it.

    The tools on offer are those of the conversation.
    """

    model: str
    conversation: Conversation
    sampling: Sampling = field(default_factory=Sampling)
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    thinking: bool = False  # whether the client wants to see what a model thinks before it answers
    tenant: str = ""  # whose it is, as the server knows, never as the client says: time and computed prompts go by it
    tally: Tally = field(default_factory=Tally, compare=False)

    @property
    def prefix(self) -> str:
        """The beginning of the answer that the request gives."""
        last = self.conversation.messages[-1]
        return last.content if last.role == "assistant" else ""


@dataclass(frozen=True)
class CompletionRequest:
    """Text to be gone on with, without any chat template; or with a suffix, the text in between."""

    model: str
    prompt: str | tuple[int, ...]  # ids are taken as they are; text gets the model's beginning-of-text token
    sampling: Sampling = field(default_factory=Sampling)
    suffix: str | None = None  # fill in the middle; the prompt is then text
    echo: bool = False  # tell the prompt's own tokens first, with their log probabilities if those are asked for
    echo_from: int = 0  # the first of them
    tenant: str = ""
    tally: Tally = field(default_factory=Tally, compare=False)


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to be turned into vectors; each is text, or ids that are taken as they are."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    tenant: str = ""


@dataclass(frozen=True)
class Embeddings:
    """A vector of length 1 for each input, in order."""

    vectors: tuple[Sequence[float], ...]
    num_tokens: int  # of all inputs together


@dataclass(frozen=True)
class ScoredToken:
    """A token with its natural log probability, and the likeliest tokens in its place, the most likely first."""

    text: str  # for a reader: U+FFFD stands for part of a character, a control token has its name
    data: bytes  # its share of the text
    logprob: float | None  # None: nothing stood before it
    top: tuple["ScoredToken", ...] = ()


@dataclass(frozen=True)
class PromptTokens:
    """The prompt, told because of `echo`; before everything else."""

    text: str
    tokens: tuple[ScoredToken, ...] = ()  # when log probabilities are asked for
    index: int = 0


@dataclass(frozen=True)
class TextDelta:
    """The next piece of an answer: whole characters, possibly none when it only brings log probabilities."""

    text: str
    index: int = 0  # which of the request's answers
    tokens: tuple[ScoredToken, ...] = ()  # when asked for; those that the text so far was made of


@dataclass(frozen=True)
class ThinkingDelta:
    """The next piece of what the model thinks before it answers."""

    text: str
    index: int = 0


@dataclass(frozen=True)
class ToolCallDelta:
    """The beginning of a call, with its whole name, or the next piece of its arguments."""

    position: int  # of the call within the answer
    id: str  # nine letters and digits
    name: str  # empty after the first delta of a call
    arguments: str  # a piece of a JSON object
    index: int = 0


@dataclass(frozen=True)
class Finished:
    """The end of an answer; the last event is always one, and each of the request's answers has its own."""

    finish_reason: FinishReason
    num_prompt_tokens: int
    num_completion_tokens: int
    index: int = 0
    stop: str | None = None  # the stop string that ended it, if one did


ChatEvent = TextDelta | ThinkingDelta | ToolCallDelta | Finished
CompletionEvent = PromptTokens | TextDelta | Finished


def no_such_model(model: str, offered: Iterable[ModelInfo]) -> NotFoundError:
    """The refusal of a model that is not there."""
    names = ", ".join(each.id for each in offered)
    message = f"There is no model {model[:100]!r} here. Models on offer: {names}."
    return NotFoundError(message, code="model_not_found", model=model[:100])


class ContextOverflowError(InputError):
    """The prompt, or the prompt with the answer asked for, is longer than the model's context."""

    def __init__(self, num_prompt_tokens: int, max_tokens: int | None, model: ModelInfo) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.context_length = model.context_length
        if max_tokens is None or num_prompt_tokens >= model.context_length:
            advice = "Send less text, or use a model with a longer context."
            asked = f"The prompt has {num_prompt_tokens} tokens"
        else:
            advice = f"Ask for at most {model.context_length - num_prompt_tokens} tokens, or send less text."
            asked = f"The prompt has {num_prompt_tokens} tokens and the answer may have {max_tokens} (max_tokens)"
        super().__init__(
            f"{asked}, but the context of {model.id} holds {model.context_length}, prompt and answer together. {advice}",
            code="context_length_exceeded",
            tokens=num_prompt_tokens,
            context=model.context_length,
        )


class UnsupportedError(InputError):
    """A model or the backend behind it cannot do this; `field` is the request's field that asks for it."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TextTokenizer(Protocol):
    """A model's vocabulary, for programs that count and cut by tokens themselves."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        ...

    @property
    def bos_id(self) -> int:
        """The token that begins every text."""
        ...

    @property
    def eos_id(self) -> int:
        """The token that ends an answer."""
        ...

    def begin(self, ids: list[int]) -> list[int]:
        """The ids of a text, after the token that the model's texts begin with, if there is one."""
        ...

    def encode_raw(self, text: str) -> list[int]:
        """Ids of a text in which the names of control tokens stand for these tokens."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without control tokens."""
        ...

    def token_name(self, token_id: int) -> str:
        """One token for a reader."""
        ...


class Backend(Protocol):
    """Answers requests. Raises UnavailableError when it cannot now, from any of its methods."""

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...

    def models(self) -> tuple[ModelInfo, ...]:
        """Every model on offer, the default one first."""
        ...

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """How long the prompt for the next answer would be."""
        ...

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Check a request, and return the answer to be iterated over.

        Raises:
            NotFoundError: no such model.
            ContextOverflowError: the request does not fit into the model's context.
            UnsupportedError: the request asks for what this backend cannot do.
            InputError: the conversation is not one that the model can answer.
        """
        ...

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """The same for text without a chat template; raises the same."""
        ...

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Turn texts into vectors; raises the same."""
        ...

    async def tokenizer(self, model: str) -> TextTokenizer:
        """Give a model's vocabulary.

        Raises:
            UnsupportedError: it is not known here.
        """
        ...

    async def close(self) -> None:
        """Stop answering and free everything."""
        ...
