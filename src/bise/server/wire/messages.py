"""The body of POST /v1/messages, as clients of Anthropic's API send it.

A result of a tool is a block of the user's there and a message of its own here; a trailing message of the assistant is
the beginning of the answer, which is not repeated in it.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bise.messages import Conversation, Message, Tool, ToolCall
from bise.server.backend import ChatRequest, ResponseFormat, Sampling, ToolChoice
from bise.server.wire.chat import MAX_MESSAGES, MAX_TOOLS, CallId, FunctionName
from bise.server.wire.fields import MAX_STOPS, Body, ModelName, NumTokens, Stop

MAX_BLOCKS = 4096


class TextBlock(BaseModel):
    """Text."""

    type: Literal["text"]
    text: str


class ThoughtBlock(BaseModel):
    """What the model thought in an earlier turn; it is not shown to the model again."""

    type: Literal["thinking", "redacted_thinking"]


class ToolUseBlock(BaseModel):
    """A call that an earlier answer asked for."""

    type: Literal["tool_use"]
    id: CallId
    name: FunctionName
    input: dict[str, Any]


def _as_blocks(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


TextBlocks = Annotated[list[TextBlock], Field(max_length=MAX_BLOCKS), BeforeValidator(_as_blocks)]


class ToolResultBlock(BaseModel):
    """What a call gave."""

    type: Literal["tool_result"]
    tool_use_id: CallId
    content: TextBlocks = Field(default_factory=list)
    is_error: bool | None = None


Block = Annotated[TextBlock | ThoughtBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")]
Blocks = Annotated[list[Block], Field(max_length=MAX_BLOCKS), BeforeValidator(_as_blocks)]


class WireTurn(BaseModel):
    """One message."""

    role: Literal["user", "assistant"]
    content: Blocks

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = ToolResultBlock if self.role == "assistant" else ToolUseBlock
        if any(isinstance(block, wrong) for block in self.content):
            raise ValueError(f"the {self.role}'s messages hold no such block")
        return self

    def to_messages(self) -> Iterator[Message]:
        """Turn it into the types that all rooms share: results of tools first, then what was said."""
        for block in self.content:
            if isinstance(block, ToolResultBlock):
                text = "".join(part.text for part in block.content)
                yield Message("tool", f"Error: {text}" if block.is_error else text, tool_call_id=block.tool_use_id)
        calls = tuple(
            ToolCall(block.id, block.name, json.dumps(block.input, ensure_ascii=False))
            for block in self.content
            if isinstance(block, ToolUseBlock)
        )
        text = "".join(block.text for block in self.content if isinstance(block, TextBlock))
        if text or calls or not any(isinstance(block, ToolResultBlock) for block in self.content):
            yield Message(self.role, text, calls)


class ToolOnOffer(BaseModel):
    """A tool of the client's."""

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]


class WireChoice(BaseModel):
    """Whether tools may or must be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("a tool_choice has a name exactly when its type is tool")
        return self

    def to_choice(self) -> ToolChoice:
        """Turn it into the backend's type."""
        parallel = not self.disable_parallel_tool_use
        if self.type in ("any", "tool"):
            return ToolChoice("required", self.name, parallel)
        return ToolChoice("none" if self.type == "none" else "auto", None, parallel)


class Thinking(BaseModel):
    """Whether thoughts are to be told; how long they may be is the model's affair."""

    type: Literal["enabled", "disabled", "adaptive"]


class SchemaFormat(BaseModel):
    """A schema for the answer."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(BaseModel):
    """What the text of an answer must be."""

    format: SchemaFormat | None = None


class CountBody(Body):
    """The body of POST /v1/messages/count_tokens."""

    model: ModelName
    messages: Annotated[list[WireTurn], Field(min_length=1, max_length=MAX_MESSAGES)]
    system: TextBlocks = Field(default_factory=list)
    tools: Annotated[list[ToolOnOffer], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: WireChoice | None = None
    thinking: Thinking | None = None

    def conversation(self) -> Conversation:
        """The conversation in the types that all rooms share."""
        system = "\n\n".join(block.text for block in self.system)
        first = (Message("system", system),) if system else ()
        rest = (message for turn in self.messages for message in turn.to_messages())
        tools = [Tool(tool.name, tool.description or "", tool.input_schema) for tool in self.tools or ()]
        return Conversation((*first, *rest), tuple(tools))


class MessagesBody(CountBody):
    """The body of POST /v1/messages."""

    max_tokens: NumTokens
    stream: bool | None = False
    stop_sequences: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    output_config: OutputConfig | None = None

    def to_request(self) -> ChatRequest:
        """Turn the body into what a backend answers."""
        sampling = Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k or 0,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
        )
        schema = self.output_config.format if self.output_config else None
        return ChatRequest(
            model=self.model,
            conversation=self.conversation(),
            sampling=sampling,
            tool_choice=self.tool_choice.to_choice() if self.tool_choice else ToolChoice(),
            response_format=ResponseFormat("json_schema", schema.json_schema) if schema else ResponseFormat(),
            thinking=self.thinking is not None and self.thinking.type != "disabled",
        )
