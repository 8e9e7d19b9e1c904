"""Chat types that all rooms share: what a person, a tool and a model say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class ToolCall:
    """A function the model asks to have called; `arguments` is a JSON object as text, exactly as generated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One turn. Only assistants carry `tool_calls`; only tools carry `tool_call_id` and `name`."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Tool:
    """A function the model may ask for; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """Messages in order, with the tools on offer."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
