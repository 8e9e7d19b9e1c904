"""mistral-common's v13 instruct templates, message by message, so that we know who wrote each token.

This is the one module that imports mistral-common, which takes most of a second; `chat` imports it when a tokenizer is
loaded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.normalize import get_normalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall
from mistral_common.protocol.instruct.tool_calls import Tool as WireTool
from mistral_common.protocol.instruct.tool_calls import ToolCall as WireToolCall
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV13
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from bise.errors import InputError
from bise.messages import Conversation, Message, Tool, ToolCall
from bise.tokenizer.tekken import VERSION

_DAMAGE = (AssertionError, AttributeError, KeyError, TypeError, ValueError)  # what a wrong tekken file ends in


class InstructTemplate:
    """Renders conversations with one tekken file."""

    def __init__(self, tekkenizer: Tekkenizer) -> None:
        self.tekkenizer = tekkenizer
        self._encoder: Any = InstructTokenizerV13(tekkenizer)
        self._normalizer: Any = get_normalizer(tekkenizer.version)
        self._validators: dict[bool, Any] = {
            for_completion: get_validator(tekkenizer.version, mode=mode)
            for for_completion, mode in ((True, ValidationMode.serving), (False, ValidationMode.finetuning))
        }

    def segments(self, conversation: Conversation, for_completion: bool) -> Iterator[tuple[list[int], bool]]:
        """Yield the ids of each message, after the template's own joining, and whether the assistant wrote it.

        Raises:
            InputError: the template has no place for this order or content of messages.
        """
        request = self._normalized(conversation, for_completion)
        first_user, last_user = self._encoder.find_first_last_user(request)
        for index, message in enumerate(request.messages):
            if isinstance(message, UserMessage):
                is_last, is_first = index == last_user, index == first_user
                ids = self._encoder.encode_user_message(message, request.available_tools, is_last, is_first)[0]
            elif isinstance(message, ToolMessage):
                ids = self._encoder.encode_tool_message(message, index < last_user)[0]
            elif isinstance(message, SystemMessage):
                ids = self._encoder.encode_system_message(message)[0]
            else:
                ids = self._encoder.encode_assistant_message(message, index < last_user)
            yield ids, isinstance(message, AssistantMessage)

    def _normalized(self, conversation: Conversation, for_completion: bool) -> Any:
        _check_assistant_turns(conversation, for_completion)
        try:
            request = _wire_request(conversation, for_completion)
            self._validators[for_completion].validate_request(request)
            return self._normalizer.from_chat_completion_request(request)
        except (MistralCommonException, ValueError, RecursionError) as error:
            raise InputError(
                f"This conversation cannot be rendered: {_reason(error)}. Correct the order or content of its messages."
            ) from None


def load_template(path: Path) -> InstructTemplate:
    """Load a tekken file for the v13 templates.

    Raises:
        InputError: the file is missing, damaged, or made for another version of the templates.
    """
    try:
        tekkenizer = Tekkenizer.from_file(path)
    except OSError as error:
        raise InputError(f"The tokenizer {path} could not be read: {error.strerror}.") from None
    except _DAMAGE as error:
        raise InputError(
            f"The tokenizer {path} is not a valid tekken file: {_reason(error)}. Copy or train it again."
        ) from None
    if tekkenizer.version.value != VERSION:
        raise InputError(
            f"The tokenizer {path} has version {tekkenizer.version.value}; Bise renders {VERSION}. "
            "Use a model with a v13 tekken.json, or train a tokenizer with `bise tokenizer train`."
        )
    try:
        return InstructTemplate(tekkenizer)
    except ValueError as error:
        raise InputError(f"The tokenizer {path} lacks a control token of {VERSION}: {error}.") from None


def _reason(error: Exception) -> str:
    """One line of an error of mistral-common or of a library below it."""
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _check_assistant_turns(conversation: Conversation, for_completion: bool) -> None:
    for number, message in enumerate(conversation.messages, start=1):
        if message.role == "assistant" and not (message.content or message.tool_calls):
            raise InputError(f"Message {number}, from the assistant, is empty. Leave it out or give it text.")
    if for_completion and conversation.messages and conversation.messages[-1].tool_calls:
        raise InputError("The last message holds tool calls without results. Answer each with a tool message.")


def _wire_request(conversation: Conversation, for_completion: bool) -> ChatCompletionRequest[Any]:
    messages = [_wire_message(message) for message in conversation.messages]
    if for_completion and messages and isinstance(messages[-1], AssistantMessage):
        messages[-1].prefix = True
    tools = [_wire_tool(tool) for tool in conversation.tools]
    return ChatCompletionRequest(messages=messages, tools=tools or None, model="bise")


def _wire_message(message: Message) -> SystemMessage | UserMessage | ToolMessage | AssistantMessage:
    match message.role:
        case "system":
            return SystemMessage(content=message.content)
        case "user":
            return UserMessage(content=message.content)
        case "tool":
            return ToolMessage(content=message.content, tool_call_id=message.tool_call_id, name=message.name)
        case "assistant":
            calls = [_wire_tool_call(call) for call in message.tool_calls]
            return AssistantMessage(content=message.content or None, tool_calls=calls or None)


def _wire_tool_call(call: ToolCall) -> WireToolCall:
    return WireToolCall(id=call.id, function=FunctionCall(name=call.name, arguments=call.arguments))


def _wire_tool(tool: Tool) -> WireTool:
    function = Function(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
    return WireTool(function=function)
