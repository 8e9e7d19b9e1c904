"""Answers of POST /v1/chat/completions, whole and in chunks, that OpenAI's and Mistral's clients read.

A delta of a call always has a name, empty after the first: Mistral's client refuses one without, and OpenAI's joins
them. Thoughts are told only to those who asked, as Mistral's API tells them: content is then a list of parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bise.server.backend import (
    ChatEvent,
    Finished,
    FinishReason,
    ScoredToken,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from bise.server.wire.cards import usage

Object = dict[str, object]


@dataclass
class WrittenCall:
    """A call as it has been written so far."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


@dataclass
class Choice:
    """One answer as it has been written so far."""

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[WrittenCall] = field(default_factory=list)
    tokens: list[ScoredToken] = field(default_factory=list)
    end: Finished | None = None

    def add(self, event: ChatEvent) -> None:
        """Take in the next event."""
        match event:
            case TextDelta(text, tokens=tokens):
                self.text.append(text)
                self.tokens += tokens
            case ThinkingDelta(text):
                self.thoughts.append(text)
            case ToolCallDelta():
                if event.name:
                    self.calls.append(WrittenCall(event.id, event.name))
                self.calls[-1].arguments.append(event.arguments)
            case Finished():
                self.end = event


@dataclass(frozen=True)
class ChatWriter:
    """Writes the answer to one request; `head` is {id, created, model}."""

    head: Object
    prefix: str = ""
    logprobs: bool = False
    thinking: bool = False

    def completion(self, choices: Sequence[Choice]) -> Object:
        """A whole answer."""
        ends = [choice.end for choice in choices if choice.end is not None]
        assert len(ends) == len(choices)
        return {
            **self.head,
            "object": "chat.completion",
            "choices": [self._choice(index, choice) for index, choice in enumerate(choices)],
            "usage": total_usage(ends),
        }

    def begin(self, index: int) -> Object:
        """The first chunk of an answer."""
        return self._chunk(index, {"role": "assistant", "content": self.prefix})

    def chunk(self, event: TextDelta | ThinkingDelta | ToolCallDelta) -> Object | None:
        """A piece of an answer, or None when it is not to be told."""
        match event:
            case TextDelta(text, index, tokens):
                return self._chunk(index, {"content": text}, tokens=tokens)
            case ThinkingDelta(text, index):
                return self._chunk(index, {"content": [_thought(text, closed=False)]}) if self.thinking else None
            case ToolCallDelta(position, call_id, name, arguments, index):
                call: Object = {"index": position, "function": {"name": name, "arguments": arguments}}
                first: Object = {"id": call_id, "type": "function"} if name else {}
                return self._chunk(index, {"tool_calls": [first | call]})

    def end(self, end: Finished, ends: Sequence[Finished], num_answers: int) -> Object:
        """The last chunk of an answer; that of the last answer carries the usage of all."""
        last = self._chunk(end.index, {"content": ""}, end.finish_reason)
        return last if len(ends) < num_answers else {**last, "usage": total_usage(ends)}

    def usage_alone(self, ends: Sequence[Finished]) -> Object:
        """The chunk after the last, for clients that ask for it."""
        return {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": total_usage(ends)}

    def _choice(self, index: int, choice: Choice) -> Object:
        assert choice.end is not None
        text = self.prefix + "".join(choice.text)
        content: object = text if text or not choice.calls else None
        if self.thinking and choice.thoughts:
            thought = _thought("".join(choice.thoughts), closed=True)
            content = [thought, {"type": "text", "text": text}] if text else [thought]
        message = {"role": "assistant", "content": content, "tool_calls": _calls(choice.calls) or None}
        return {
            "index": index,
            "message": message,
            "finish_reason": choice.end.finish_reason,
            "logprobs": _logprobs(choice.tokens) if self.logprobs else None,
        }

    def _chunk(
        self, index: int, delta: Object, reason: FinishReason | None = None, tokens: Sequence[ScoredToken] = ()
    ) -> Object:
        logprobs = _logprobs(tokens) if tokens else None
        choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice]}


def total_usage(ends: Sequence[Finished]) -> dict[str, int]:
    """The tokens of a request: its prompt once, and all its answers."""
    return usage(ends[0].num_prompt_tokens, sum(end.num_completion_tokens for end in ends))


def _calls(calls: Sequence[WrittenCall]) -> list[Object]:
    return [
        {
            "id": call.id,
            "type": "function",
            "index": index,
            "function": {"name": call.name, "arguments": "".join(call.arguments)},
        }
        for index, call in enumerate(calls)
    ]


def _thought(text: str, *, closed: bool) -> Object:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}], "closed": closed}


def _logprobs(tokens: Sequence[ScoredToken]) -> Object:
    content = [_token(token) | {"top_logprobs": [_token(other) for other in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def _token(token: ScoredToken) -> Object:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
