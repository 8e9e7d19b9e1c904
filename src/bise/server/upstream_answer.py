"""The events of an answer from the chunks of another server, whatever that server leaves out or does in its own way."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bise.errors import UnavailableError
from bise.server.answer import new_call_id
from bise.server.backend import (
    ChatEvent,
    Finished,
    FinishReason,
    ScoredToken,
    Tally,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)

Object = dict[str, Any]
_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_NINE = re.compile(r"[A-Za-z0-9]{9}")


@dataclass
class _Answer:
    """What is known of one of the answers."""

    prefix: str  # still to be cut off
    calls: list[str] = field(default_factory=list)  # theirs ids, in order
    positions: dict[int, int] = field(default_factory=dict)  # of their index: where its latest call is
    reason: FinishReason | None = None
    num_deltas: int = 0


class UpstreamAnswer:
    """Follows the chunks of one request; `prefix` is what the other server repeats of the request."""

    def __init__(self, name: str, num_answers: int, tally: Tally, prefix: str = "") -> None:
        self._name = name
        self._tally = tally
        self._answers = [_Answer(prefix) for _ in range(num_answers)]
        self._usage: Object = {}

    def feed(self, chunk: Object) -> Iterator[ChatEvent]:
        """Take in the next chunk.

        Raises:
            UnavailableError: it is an error.
        """
        if chunk.get("error"):
            error = chunk["error"]
            words = error.get("message", error) if isinstance(error, dict) else error
            raise UnavailableError(f"{self._name} failed in the middle of its answer: {str(words)[:500]}")
        self._usage = chunk.get("usage") or self._usage
        try:
            for choice in chunk.get("choices") or ():
                yield from self._choice(choice)
        finally:
            self._count()

    def finish(self) -> Iterator[Finished]:
        """End the answers.

        Raises:
            UnavailableError: one of them has no end.
        """
        if any(answer.reason is None for answer in self._answers):
            raise UnavailableError(f"{self._name} broke off in the middle of its answer. Ask again.")
        num_prompt, total = self._tally.num_prompt_tokens, self._usage.get("completion_tokens")
        counts = [answer.num_deltas for answer in self._answers]
        if total is not None:
            counts = [0] * (len(counts) - 1) + [int(total)]
        for index, (answer, count) in enumerate(zip(self._answers, counts, strict=True)):
            assert answer.reason is not None
            reason: FinishReason = "tool_calls" if answer.calls and answer.reason == "stop" else answer.reason
            yield Finished(reason, num_prompt, count, index)

    def _count(self) -> None:
        """The other server counts all answers together; who counts nothing is counted by its chunks."""
        told = self._usage.get("completion_tokens")
        counted = sum(answer.num_deltas for answer in self._answers)
        self._tally.num_completion_tokens = counted if told is None else int(told)
        self._tally.num_prompt_tokens = int(self._usage.get("prompt_tokens") or 0)

    def _choice(self, choice: Object) -> Iterator[ChatEvent]:
        index = int(choice.get("index") or 0)
        if not 0 <= index < len(self._answers):
            return
        answer = self._answers[index]
        delta = choice.get("delta") or {"content": choice.get("text")}
        yield from self._thoughts(delta, index)
        yield from self._text(answer, delta.get("content"), choice.get("logprobs"), index)
        for call in delta.get("tool_calls") or ():
            yield from self._call(answer, call, index)
        if reason := choice.get("finish_reason"):
            if reason == "error":
                raise UnavailableError(f"{self._name} failed in the middle of its answer. Ask again.")
            answer.reason = _REASONS.get(reason, "stop")

    def _thoughts(self, delta: Object, index: int) -> Iterator[ChatEvent]:
        """vLLM and llama-server tell thoughts in a field of their own, under one of two names."""
        if thought := delta.get("reasoning") or delta.get("reasoning_content"):
            yield ThinkingDelta(str(thought), index)

    def _text(self, answer: _Answer, content: object, logprobs: Object | None, index: int) -> Iterator[ChatEvent]:
        if isinstance(content, list):  # Mistral tells thoughts as parts of the content
            for part in content:
                if part.get("type") == "thinking":
                    yield ThinkingDelta("".join(p.get("text", "") for p in part.get("thinking") or ()), index)
                else:
                    yield from self._text(answer, part.get("text"), None, index)
            return
        text, tokens = str(content or ""), tuple(_tokens(logprobs))
        answer.num_deltas += bool(text)
        if answer.prefix and text:
            shared = min(len(answer.prefix), len(text))
            if answer.prefix[:shared] == text[:shared]:
                answer.prefix, text = answer.prefix[shared:], text[shared:]
            else:
                answer.prefix = ""
        if text or tokens:
            yield TextDelta(text, index, tokens)

    def _call(self, answer: _Answer, call: Object, index: int) -> Iterator[ChatEvent]:
        function = call.get("function") or {}
        name, their_index, their_id = function.get("name"), int(call.get("index") or 0), str(call.get("id") or "")
        position = answer.positions.get(their_index)
        is_new = position is None or (their_id not in ("", "null") and their_id != answer.calls[position])
        if is_new and name:  # some give every call the index 0
            position = answer.positions[their_index] = len(answer.calls)
            answer.calls.append(their_id)
            call_id = their_id if _NINE.fullmatch(their_id) else new_call_id()
            yield ToolCallDelta(position, call_id, name, "", index)
        if position is not None and (arguments := _as_text(function.get("arguments"))):
            yield ToolCallDelta(position, "", "", arguments, index)


def _as_text(arguments: object) -> str:
    """Arguments as JSON text; some servers send the object."""
    return arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)


def _tokens(logprobs: Object | None) -> Iterator[ScoredToken]:
    """Log probabilities in the form of chats or of completions."""
    if not logprobs:
        return
    for token in logprobs.get("content") or ():
        yield _chat_token(token, tuple(_chat_token(other, ()) for other in token.get("top_logprobs") or ()))
    names, scores = logprobs.get("tokens") or (), logprobs.get("token_logprobs") or ()
    tops = logprobs.get("top_logprobs") or [None] * len(names)
    for name, score, top in zip(names, scores, tops, strict=False):
        ordered = sorted((top or {}).items(), key=lambda each: -each[1])
        yield ScoredToken(name, name.encode(), score, tuple(ScoredToken(n, n.encode(), s) for n, s in ordered))


def _chat_token(token: Object, top: tuple[ScoredToken, ...]) -> ScoredToken:
    name, data = str(token.get("token", "")), token.get("bytes")
    return ScoredToken(name, name.encode() if data is None else bytes(data), token.get("logprob"), top)
