"""Tokens for programs that count and cut by them: /tokenize, /detokenize and /tokenizer_info, as vLLM has them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from bise.messages import Conversation
from bise.server.wire.chat import MAX_MESSAGES, WireMessage, WireTool
from bise.server.wire.completions import MAX_PROMPT_TOKENS
from bise.server.wire.fields import Body, ModelName, TokenId


class TokenizeBody(Body):
    """The body of POST /tokenize: raw text, in which names of control tokens are these tokens, or a conversation."""

    model: ModelName | None = None
    prompt: str | None = None
    messages: Annotated[list[WireMessage], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    tools: list[WireTool] | None = None
    add_special_tokens: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt, a text, or messages, a conversation")
        return self

    def conversation(self) -> Conversation:
        """The conversation to be counted."""
        messages = tuple(message.to_message() for message in self.messages or ())
        return Conversation(messages, tuple(tool.to_tool() for tool in self.tools or ()))


class DetokenizeBody(Body):
    """The body of POST /detokenize."""

    model: ModelName | None = None
    tokens: Annotated[list[TokenId], Field(max_length=MAX_PROMPT_TOKENS)]
