"""Answers of POST /v1/messages, whole and as events, that Anthropic's clients read."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bise.server.backend import ChatEvent, Finished, TextDelta, ThinkingDelta, ToolCallDelta
from bise.server.wire.chat_answers import Choice, Object, WrittenCall

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
BlockKind = Literal["text", "thinking", "tool_use"]


def whole_message(model: str, choice: Choice, thinking: bool) -> Object:
    """A whole answer."""
    assert choice.end is not None
    content: list[Object] = []
    if thinking and choice.thoughts:
        content.append({"type": "thinking", "thinking": "".join(choice.thoughts), "signature": ""})
    if text := "".join(choice.text):
        content.append({"type": "text", "text": text})
    content += [_tool_use(call) for call in choice.calls]
    return _message(model) | {"content": content} | _ending(choice.end) | {"usage": _usage(choice.end)}


@dataclass
class MessageEvents:
    """Writes an answer as events; blocks are numbered and come one after the other."""

    model: str
    thinking: bool
    _kind: BlockKind | None = None  # of the block that is open
    _index: int = field(default=-1)

    def begin(self) -> Object:
        """The first event; how long the prompt is comes with the last but one."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        message = _message(self.model) | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return {"type": "message_start", "message": message}

    def events(self, event: ChatEvent) -> Iterator[Object]:
        """What one event of a backend is told as."""
        match event:
            case TextDelta(text):
                if text:
                    yield from self._open("text", {"type": "text", "text": ""})
                    yield self._delta({"type": "text_delta", "text": text})
            case ThinkingDelta(text):
                if self.thinking:
                    yield from self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                    yield self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCallDelta():
                if event.name:
                    yield from self._close()
                    block: Object = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                    yield from self._open("tool_use", block)
                if event.arguments:
                    yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})
            case Finished():
                yield from self._close()
                yield {"type": "message_delta", "delta": _ending(event), "usage": _usage(event)}
                yield {"type": "message_stop"}

    def _open(self, kind: BlockKind, block: Object) -> Iterator[Object]:
        if self._kind != kind:
            yield from self._close()
            self._kind, self._index = kind, self._index + 1
            yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[Object]:
        if self._kind is not None:
            self._kind = None
            yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: Object) -> Object:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _message(model: str) -> Object:
    return {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": model}


def _tool_use(call: WrittenCall) -> Object:
    """A call; arguments that were cut off, and are no JSON, are kept as Anthropic's documentation advises."""
    text = "".join(call.arguments)
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": value if isinstance(value, dict) else {"INVALID_JSON": text},
    }


def _ending(end: Finished) -> Object:
    reason = "stop_sequence" if end.stop is not None else _REASONS[end.finish_reason]
    return {"stop_reason": reason, "stop_sequence": end.stop}


def _usage(end: Finished) -> Object:
    return {"input_tokens": end.num_prompt_tokens, "output_tokens": end.num_completion_tokens}
