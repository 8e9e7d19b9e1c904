"""The body of POST /v1/chat/completions, as clients of OpenAI's and Mistral's APIs send it."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from bise.messages import Conversation, Message, Tool, ToolCall
from bise.server.backend import ChatRequest, ResponseFormat, ToolChoice
from bise.server.wire.fields import MAX_ALTERNATIVES, NumTokens, SampledBody

MAX_MESSAGES = 4096
MAX_TOOLS = 128
MAX_CALLS = 128
FUNCTION_NAME = r"^[A-Za-z0-9_.-]{1,64}$"
# The text that Mistral's API puts before everything for `safe_prompt`.
SAFE_PROMPT = (
    "Always assist with care, respect, and truth. Respond with utmost utility yet securely. Avoid harmful, unethical, "
    "prejudiced, or negative content. Ensure replies promote fairness and positivity."
)

FunctionName = Annotated[str, StringConstraints(pattern=FUNCTION_NAME)]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class TextPart(BaseModel):
    """A piece of a message's content; pictures and sound are not read."""

    type: Literal["text"]
    text: str


class ThinkingPart(BaseModel):
    """What the model thought in an earlier turn; it is not shown to the model again."""

    type: Literal["thinking"]
    thinking: list[Any] | str = ""


def _as_json(value: object) -> object:
    """Some clients send the arguments of a call as an object, some as its text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


class WireFunctionCall(BaseModel):
    """The call of a function."""

    name: FunctionName
    arguments: Annotated[str, BeforeValidator(_as_json)]

    @field_validator("arguments")
    @classmethod
    def _check(cls, arguments: str) -> str:
        try:
            value = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("the arguments of a call must be a JSON object")
        return arguments or "{}"


class WireToolCall(BaseModel):
    """A call that an earlier answer asked for."""

    id: CallId
    type: Literal["function"] | None = "function"
    function: WireFunctionCall


class WireMessage(BaseModel):
    """One message as clients send it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart | ThinkingPart] | None = None
    prefix: bool = False
    tool_calls: Annotated[list[WireToolCall], Field(max_length=MAX_CALLS)] | None = None
    tool_call_id: CallId | None = None
    name: Annotated[str, StringConstraints(max_length=256)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls belong to a message of the assistant, not of the {self.role}")
        if self.prefix and self.role != "assistant":
            raise ValueError(f"prefix belongs to a message of the assistant, not of the {self.role}")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of a tool needs tool_call_id: the call that it is the result of")
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of the {self.role} needs content")
        return self

    def to_message(self) -> Message:
        """Turn it into the type that all rooms share."""
        content = self.content or ""
        parts = [content] if isinstance(content, str) else [p.text for p in content if isinstance(p, TextPart)]
        calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        role = "system" if self.role == "developer" else self.role
        is_tool = role == "tool"
        return Message(role, "".join(parts), tuple(calls), self.tool_call_id, self.name if is_tool else None)


class WireFunction(BaseModel):
    """A function on offer."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class WireTool(BaseModel):
    """A tool on offer; all of them are functions."""

    type: Literal["function"] = "function"
    function: WireFunction

    def to_tool(self) -> Tool:
        """Turn it into the type that all rooms share."""
        parameters = self.function.parameters or {"type": "object", "properties": {}}
        return Tool(self.function.name, self.function.description or "", parameters)


class NamedFunction(BaseModel):
    """The name in a named choice."""

    name: FunctionName


class NamedTool(BaseModel):
    """The choice of one tool and no other."""

    type: Literal["function"] = "function"
    function: NamedFunction


class JsonSchema(BaseModel):
    """A schema for an answer; Mistral's clients call the schema `schema_definition` before they send it."""

    name: Annotated[str, StringConstraints(max_length=64)] = "answer"
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class WireResponseFormat(BaseModel):
    """What the text of an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == "json_schema" and (self.json_schema is None or self.json_schema.json_schema is None):
            raise ValueError("a response_format of the type json_schema needs json_schema.schema")
        return self

    def to_format(self) -> ResponseFormat:
        """Turn it into the backend's type."""
        schema = self.json_schema
        if self.type != "json_schema" or schema is None:
            return ResponseFormat(self.type)
        return ResponseFormat("json_schema", schema.json_schema, schema.name)


class ChatBody(SampledBody):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[WireMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: NumTokens | None = None
    max_completion_tokens: NumTokens | None = None
    tools: Annotated[list[WireTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "any", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: WireResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_ALTERNATIVES)] | None = None
    safe_prompt: bool | None = None
    prompt_mode: Literal["reasoning"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None

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

    @field_validator("tools")
    @classmethod
    def _check_names(cls, tools: list[WireTool] | None) -> list[WireTool] | None:
        names = [tool.function.name for tool in tools or ()]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        return tools

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    def to_request(self) -> ChatRequest:
        """Turn the body into what a backend answers.

        Raises:
            UnsupportedError: it asks for something that is not supported.
        """
        self.refuse_unsupported()
        messages = tuple(message.to_message() for message in self.messages)
        safety = (Message("system", SAFE_PROMPT),) if self.safe_prompt else ()
        tools = tuple(tool.to_tool() for tool in self.tools or ())
        max_tokens = self.max_completion_tokens or self.max_tokens
        return ChatRequest(
            model=self.model,
            conversation=Conversation((*safety, *messages), tools),
            sampling=self.sampling(max_tokens, (self.top_logprobs or 0) if self.logprobs else None),
            tool_choice=self._choice(),
            response_format=self.response_format.to_format() if self.response_format else ResponseFormat(),
            thinking=self.prompt_mode is not None or self.reasoning_effort not in (None, "none"),
        )

    def _choice(self) -> ToolChoice:
        parallel = self.parallel_tool_calls is not False
        match self.tool_choice:
            case NamedTool(function=function):
                return ToolChoice("required", function.name, parallel)
            case "any" | "required":
                return ToolChoice("required", None, parallel)
            case "none":
                return ToolChoice("none", None, parallel)
            case _:
                return ToolChoice("auto", None, parallel)
