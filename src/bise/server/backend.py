"""The seam to whatever answers: an engine on this machine now, other servers later.

A backend is asked in two steps. `await backend.chat(request)` checks the request and raises what is wrong with it, so
that a server can still answer with a status; iterating over what it returns makes the tokens. Closing that iterator
frees the engine within a step.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from bise.errors import InputError
from bise.messages import Conversation

FinishReason = Literal["stop", "length"]
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


@dataclass(frozen=True)
class ChatRequest:
    """One answer to be made. A trailing assistant message is the beginning of it, and is part of it."""

    model: str
    conversation: Conversation
    temperature: float = DEFAULT_TEMPERATURE  # 0 takes the likeliest token
    top_p: float = 1.0  # (0, 1]
    max_tokens: int | None = None  # None: what the context leaves
    seed: int | None = None  # None: another answer each time
    stop: tuple[str, ...] = ()  # the answer ends before the first of these, which is not part of it
    tenant: str = ""  # whose it is, as the server knows, never as the client says: time and computed prompts go by it

    @property
    def prefix(self) -> str:
        """The beginning of the answer that the request gives."""
        last = self.conversation.messages[-1]
        return last.content if last.role == "assistant" else ""


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer: whole characters, never empty."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The end of the answer; always the last event."""

    finish_reason: FinishReason
    num_prompt_tokens: int
    num_completion_tokens: int


ChatEvent = TextDelta | Finished


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
            f"{asked}, but the context of {model.id} holds {model.context_length}, prompt and answer together. {advice}"
        )


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
            InputError: the conversation is not one that the model can answer.
        """
        ...

    async def close(self) -> None:
        """Stop answering and free everything."""
        ...
