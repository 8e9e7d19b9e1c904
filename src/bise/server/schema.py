"""The wire of `/v1`: what clients of OpenAI's and Mistral's APIs send, with bounds on everything, and what they get.

Three kinds of field: those that are honoured; those that would change the answer and are not supported yet, which are
refused by name unless they have the value that changes nothing; and all others, which are ignored and named in the
response's header `x-bise-ignored-fields`.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from bise.errors import InputError
from bise.messages import Conversation, Message
from bise.server.backend import DEFAULT_TEMPERATURE, ChatRequest, Finished, ModelInfo

MAX_MESSAGES = 4096
MAX_STOPS = 16
_INT64 = 2**63

# field -> the values besides null that change nothing
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "prompt_logprobs": (False, 0),
    "top_prompt_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "prompt_mode": (),
    "reasoning_effort": ("none",),
    "guardrails": ([],),
    "safe_prompt": (False,),
    "web_search_options": (),
}
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class TextPart(BaseModel):
    """A piece of a message's content; pictures and sound are not read yet."""

    type: Literal["text"]
    text: str


class WireMessage(BaseModel):
    """One message as clients send it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    prefix: bool = False
    tool_calls: list[Any] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tool_calls:
            raise ValueError("tool_calls are not supported yet")
        if self.prefix and self.role != "assistant":
            raise ValueError(f"prefix belongs to a message of the assistant, not of the {self.role}")
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of the {self.role} needs content")
        return self

    def to_message(self) -> Message:
        """Turn it into the type that all rooms share."""
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return Message("system" if self.role == "developer" else self.role, text)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class StreamOptions(BaseModel):
    """What else a stream carries."""

    include_usage: bool = False


class ChatBody(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[list[WireMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=_INT64)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=_INT64)] | None = None
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    random_seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS), BeforeValidator(_as_list)] | None = None

    @field_validator("messages")
    @classmethod
    def _check_order(cls, messages: list[WireMessage]) -> list[WireMessage]:
        if any(message.prefix for message in messages[:-1]):
            raise ValueError("prefix belongs to the last message only")
        last = messages[-1]
        if last.role == "assistant" and not last.prefix:
            raise ValueError(
                "the last message is the assistant's: add the user's, or set prefix to true to go on with it"
            )
        if last.role in ("system", "developer"):
            raise ValueError("the last message is the system's: add one of the user")
        return messages

    def to_request(self, tenant: str) -> ChatRequest:
        """Turn the body into what a backend answers on a tenant's behalf.

        Raises:
            InputError: it asks for something that is not supported yet.
        """
        self._refuse_unsupported()
        seed = self.seed if self.seed is not None else self.random_seed
        return ChatRequest(
            model=self.model,
            conversation=Conversation(tuple(message.to_message() for message in self.messages)),
            temperature=DEFAULT_TEMPERATURE if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            seed=None if seed is None else seed % _INT64,
            stop=tuple(self.stop or ()),
            tenant=tenant,
        )

    def ignored_fields(self) -> str:
        """Name the fields that had no effect, for a header: names only, and only plain ones."""
        extra = self.model_extra or {}
        return ", ".join(sorted(n for n in extra if n not in UNSUPPORTED and _FIELD_NAME.fullmatch(n))[:50])

    def _refuse_unsupported(self) -> None:
        for name, value in (self.model_extra or {}).items():
            if name in UNSUPPORTED and value is not None and not _is_neutral(name, value):
                raise UnsupportedFieldError(name)


class UnsupportedFieldError(InputError):
    """A field would change the answer, and is not supported yet."""

    def __init__(self, field: str) -> None:
        self.field = field
        neutral = UNSUPPORTED[field]
        advice = f"Leave it out, or send {neutral[0]!r}." if neutral else "Leave it out."
        super().__init__(f"{field} is not supported by this server yet, with the value that was sent. {advice}")


def _is_neutral(name: str, value: object) -> bool:
    return any(
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in UNSUPPORTED[name]
    )


def model_card(model: ModelInfo) -> dict[str, object]:
    """Describe a model so that both OpenAI's and Mistral's clients read it."""
    return {
        "id": model.id,
        "object": "model",
        "type": "base",
        "created": model.created,
        "owned_by": "bise",
        "name": model.id,
        "parent": model.parent,
        "max_context_length": model.context_length,
        "max_model_len": model.context_length,
        "aliases": [],
        "default_model_temperature": DEFAULT_TEMPERATURE,
        "capabilities": {
            "completion_chat": True,
            "completion_fim": False,
            "function_calling": False,
            "fine_tuning": False,
            "vision": False,
        },
    }


def usage(end: Finished) -> dict[str, int]:
    """Count tokens as clients expect them."""
    return {
        "prompt_tokens": end.num_prompt_tokens,
        "completion_tokens": end.num_completion_tokens,
        "total_tokens": end.num_prompt_tokens + end.num_completion_tokens,
    }


def completion(head: dict[str, object], text: str, end: Finished) -> dict[str, object]:
    """Build a whole answer; `head` is {id, created, model}."""
    message = {"role": "assistant", "content": text, "tool_calls": None}
    choice = {"index": 0, "message": message, "finish_reason": end.finish_reason, "logprobs": None}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage(end)}


def chunk(head: dict[str, object], delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    """Build one piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}
