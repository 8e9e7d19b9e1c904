"""mistral-common's instruct templates, message by message, so that we know who wrote each token.

Importing mistral-common takes most of a second; `chat` imports this module when such a tokenizer is loaded.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
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
from mistral_common.tokens.tokenizers.base import Tokenizer, TokenizerVersion
from mistral_common.tokens.tokenizers.instruct import (
    InstructTokenizerV1,
    InstructTokenizerV2,
    InstructTokenizerV3,
    InstructTokenizerV7,
    InstructTokenizerV11,
    InstructTokenizerV13,
    InstructTokenizerV15,
)
from mistral_common.tokens.tokenizers.model_settings_builder import ModelSettingsBuilder
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from bise.errors import InputError
from bise.messages import Conversation, Message, Tool, ToolCall
from bise.runs import sha256_file
from bise.tokenizer.vocabulary import BytePairs, TekkenFile, check_size, read_tekken

_CALL_ID = re.compile("[a-zA-Z0-9]{9}")
_DAMAGE = (
    AssertionError,
    AttributeError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)  # what a wrong tekken file ends in


class TekkenCodec:
    """A tekken file with mistral-common's templates."""

    drops_first_space = False

    def __init__(self, path: Path) -> None:
        """Load a tekken file.

        Raises:
            InputError: the file is missing, damaged, or made for a version of the templates that there is not.
        """
        file = _read(path)
        header, first_id = file.header, file.header.num_special_tokens
        pairs = _make_pairs(file, path)
        try:
            vocabulary = _Vocabulary(file, pairs)
            self.bos_id, self.stop_ids = vocabulary.bos_id, (vocabulary.eos_id,)
        except _DAMAGE as error:
            raise _damaged(path, error) from None
        self.files = (path,)
        self.encode = pairs.encode
        self.token_bytes = [b""] * first_id + file.tokens
        self.control_tokens = {token: vocabulary.id_to_piece(token) for token in range(first_id)}
        self.version = header.version
        self.segments = InstructTemplate(vocabulary, path).segments


class InstructTemplate:
    """Renders conversations as one version of Mistral's templates does."""

    def __init__(self, vocabulary: Tokenizer, path: Path) -> None:
        version = vocabulary.version
        try:
            self._encoder: Any = _ENCODERS[version.value](vocabulary)
        except (ValueError, AssertionError) as error:
            raise InputError(
                f"The tokenizer {path} lacks a control token of {version.value}: {_reason(error)}."
            ) from None
        self._keeps_call_ids = version >= TokenizerVersion.v13
        self._normalizer: Any = get_normalizer(version, vocabulary.model_settings_builder)
        self._validators: dict[bool, Any] = {
            for_completion: get_validator(version, mode=mode)
            for for_completion, mode in ((True, ValidationMode.serving), (False, ValidationMode.finetuning))
        }

    def segments(self, conversation: Conversation, for_completion: bool) -> Iterator[tuple[list[int], bool]]:
        """Yield the ids of each message, after the template's own joining, and whether the assistant wrote it.

        Raises:
            InputError: the template has no place for this order or content of messages.
        """
        request = self._normalized(conversation, for_completion)
        yield self._encoder.start(), False
        first_user, last_user = self._encoder.find_first_last_user(request)
        for index, message in enumerate(request.messages):
            try:
                ids = self._encode(message, request, index, first_user, last_user)
            except MistralCommonException as error:
                raise _refusal(error) from None
            yield ids, isinstance(message, AssistantMessage)

    def _encode(self, message: Any, request: Any, index: int, first_user: int, last_user: int) -> list[int]:
        ids: list[int]
        if isinstance(message, UserMessage):
            tools, is_last, is_first = request.available_tools, index == last_user, index == first_user
            shared = {"system_prompt": request.system_prompt, "settings": request.settings}
            ids = self._encoder.encode_user_message(message, tools, is_last, is_first, **shared)[0]
        elif isinstance(message, ToolMessage):
            ids = self._encoder.encode_tool_message(message, index < last_user)[0]
        elif isinstance(message, SystemMessage):
            ids = self._encoder.encode_system_message(message)[0]
        else:
            ids = self._encoder.encode_assistant_message(message, index < last_user)
        return ids

    def _normalized(self, conversation: Conversation, for_completion: bool) -> Any:
        _check_assistant_turns(conversation, for_completion)
        try:
            request = _wire_request(conversation, for_completion, self._keeps_call_ids)
            self._validators[for_completion].validate_request(request)
            return self._normalizer.from_chat_completion_request(request)
        except (MistralCommonException, ValueError, RecursionError) as error:
            raise _refusal(error) from None


class _Vocabulary(Tekkenizer):
    """What the templates need of mistral-common's own class, which takes a second to make with a large vocabulary."""

    def __init__(self, file: TekkenFile, pairs: BytePairs) -> None:
        header = file.header
        names = header.special_tokens
        special: Any = (
            self.DEPRECATED_SPECIAL_TOKENS if names is None else map(_special_token, names, range(len(names)))
        )
        settings = header.model_settings
        super().__init__(
            [
                {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
                for byte in range(256)
            ],
            list(special),
            header.pattern,
            256 + header.num_special_tokens,
            header.num_special_tokens,
            TokenizerVersion(header.version),
            model_settings_builder=None if settings is None else ModelSettingsBuilder.model_validate(settings),
        )
        self._pairs = pairs

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        """Encode with the whole vocabulary."""
        return [self.bos_id] * bos + self._pairs.encode(s) + [self.eos_id] * eos


_ENCODERS: dict[str, Any] = {
    "v1": InstructTokenizerV1,
    "v2": InstructTokenizerV2,
    "v3": InstructTokenizerV3,
    "v7": InstructTokenizerV7,
    "v11": InstructTokenizerV11,
    "v13": InstructTokenizerV13,
    "v15": InstructTokenizerV15,
}


def _read(path: Path) -> TekkenFile:
    try:
        check_size(path)
        file = read_tekken(path, sha256_file(path))
    except OSError as error:
        raise InputError(f"The tokenizer {path} could not be read: {error.strerror}.") from None
    except (*_DAMAGE, RecursionError) as error:
        raise _damaged(path, error) from None
    if file.header.version not in _ENCODERS:
        raise InputError(
            f"The tokenizer {path} has templates of version {file.header.version}; Bise renders {', '.join(_ENCODERS)}."
        )
    return file


def _make_pairs(file: TekkenFile, path: Path) -> BytePairs:
    try:
        return BytePairs(file.tokens, file.header.num_special_tokens, file.header.pattern)
    except ValueError as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"The tokenizer {path} is not a valid tekken file: {_reason(error)}. Copy or train it again.")


def _special_token(name: str, rank: int) -> dict[str, object]:
    return {"rank": rank, "token_str": name, "is_control": True}


def _refusal(error: Exception) -> InputError:
    return InputError(
        f"This conversation cannot be rendered: {_reason(error)}. Correct the order or content of its messages."
    )


def _reason(error: Exception) -> str:
    """One line of an error of mistral-common or of a library below it."""
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _check_assistant_turns(conversation: Conversation, for_completion: bool) -> None:
    for number, message in enumerate(conversation.messages, start=1):
        if message.role == "assistant" and not (message.content or message.tool_calls):
            raise InputError(f"Message {number}, from the assistant, is empty. Leave it out or give it text.")
    if for_completion and conversation.messages and conversation.messages[-1].tool_calls:
        raise InputError("The last message holds tool calls without results. Answer each with a tool message.")


def _wire_request(conversation: Conversation, for_completion: bool, keeps_call_ids: bool) -> ChatCompletionRequest[Any]:
    messages = [_wire_message(m if keeps_call_ids else _with_short_ids(m)) for m in conversation.messages]
    if for_completion and messages and isinstance(messages[-1], AssistantMessage):
        messages[-1].prefix = True
    tools = [_wire_tool(tool) for tool in conversation.tools]
    return ChatCompletionRequest(messages=messages, tools=tools or None, model="bise")


def _with_short_ids(message: Message) -> Message:
    """The message with the nine letters and digits that templates before v13 want for the id of a call."""
    calls = tuple(replace(call, id=_short_id(call.id)) for call in message.tool_calls)
    answered = None if message.tool_call_id is None else _short_id(message.tool_call_id)
    return replace(message, tool_calls=calls, tool_call_id=answered)


def _short_id(call_id: str) -> str:
    if not call_id or _CALL_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]


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
