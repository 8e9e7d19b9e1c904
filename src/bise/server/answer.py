"""An answer's events from its tokens: text up to the first stop string, thoughts, calls of tools, log probabilities.

Tokens cut characters and stop strings anywhere: what is told is certain, and all of it together is what the tokens say.
"""

import json
import secrets
import string
from collections.abc import Iterator, Sequence
from typing import Protocol

from bise.engine.requests import StepOutput
from bise.engine.sampling import TokenLogprob
from bise.engine.text import TextStream, TokenBytes
from bise.server.backend import (
    ChatEvent,
    Finished,
    FinishReason,
    ScoredToken,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from bise.server.stop import StopStrings
from bise.tokenizer.answers import AnswerParts, Part

_ID_LETTERS = string.ascii_letters + string.digits


class TokenNames(TokenBytes, Protocol):
    """The part of a tokenizer that telling answers needs."""

    def token_name(self, token_id: int, /) -> str:
        """One token for a reader."""
        ...


def new_call_id() -> str:
    """Nine letters and digits: the one form that every template and client takes."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(9))


class AnswerWriter:
    """Follows one of a request's answers."""

    def __init__(
        self,
        tokenizer: TokenNames,
        parts: AnswerParts,
        stops: Sequence[str],
        *,
        index: int = 0,
        parallel: bool = True,  # whether one answer may hold several calls
        whole: bool = False,  # whether the token that ended the answer is told with its log probability
    ) -> None:
        self._tokenizer = tokenizer
        self._parts = parts
        self._stops = StopStrings(stops)
        self._characters = TextStream(tokenizer)
        self._scores = TextScores(tokenizer)
        self._index = index
        self._parallel = parallel
        self._whole = whole
        self._part: Part = parts.part
        self._call = 0  # the number of the call that is being written, from 1
        self._name = ""
        self.num_tokens = 0
        self._reason: FinishReason | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more belongs to the answer."""
        return self._reason is not None

    def feed(self, output: StepOutput) -> list[ChatEvent]:
        """Take in the next tokens; returns what is certain now, all of it with the last."""
        events: list[ChatEvent] = []
        for place, token_id in enumerate(output.token_ids):
            self.num_tokens += 1
            events += self._take(token_id, output.logprobs[place] if output.logprobs else None)
            if self._stops.found or (self._call > 1 and not self._parallel):
                events += self._close("stop")
                return events
        if output.finish_reason is not None:
            assert output.finish_reason in ("stop", "length")
            if self._whole:
                for logprob in output.logprobs[len(output.token_ids) :]:
                    self._scores.add(logprob)
            events += self._close(output.finish_reason)
        return events

    def finished(self, num_prompt_tokens: int) -> Finished:
        """The last event."""
        assert self._reason is not None
        stop = self._stops.match or None
        return Finished(self._reason, num_prompt_tokens, self.num_tokens, self._index, stop)

    def _take(self, token_id: int, logprob: TokenLogprob | None = None) -> Iterator[ChatEvent]:
        place = self._parts.take(token_id)
        if place.divides:
            yield from self._end_part()
            before, self._part = self._part, place.part
            if place.part == "arguments" and before != "arguments" and self._call:
                yield from self._open_call()
            if place.part == "name":
                self._call, self._name = place.call, ""
        else:
            if self._part == "text" and logprob is not None:
                self._scores.add(logprob)
            yield from self._tell(self._characters.feed((token_id,)))

    def _tell(self, piece: str) -> Iterator[ChatEvent]:
        """Tell the next characters of the part that is being written."""
        if self._part == "text":
            yield from self._tell_text(self._stops.feed(piece))
        elif self._part == "name":
            self._name += piece
        elif self._part != "id" and piece and (self._parallel or self._call == 1):
            if self._part == "thinking":
                yield ThinkingDelta(piece, self._index)
            else:
                yield ToolCallDelta(self._call - 1, "", "", piece, self._index)

    def _tell_text(self, piece: str) -> Iterator[ChatEvent]:
        tokens = self._scores.tell(piece)
        if piece or tokens:
            yield TextDelta(piece, self._index, tokens)

    def _open_call(self) -> list[ChatEvent]:
        if self._call > 1 and not self._parallel:
            return []
        return [ToolCallDelta(self._call - 1, new_call_id(), self._name.strip(), "", self._index)]

    def _end_part(self) -> Iterator[ChatEvent]:
        """Tell what was held back; another part begins."""
        yield from self._tell(self._characters.finish())
        if self._part == "text":
            yield from self._tell_text(self._stops.flush())
        self._characters = TextStream(self._tokenizer)

    def _close(self, reason: FinishReason) -> Iterator[ChatEvent]:
        yield from self._end_part()
        if self._part == "name" and self._call == 1:
            yield from self._close_name()
        if not self._stops.found:
            yield from self._tell_rest_of_scores()
        calls = self._call > 0 and reason == "stop" and not self._stops.found
        self._reason = "tool_calls" if calls else reason

    def _close_name(self) -> Iterator[ChatEvent]:
        """End an answer whose first call has no arguments: a list of calls, or else text that is not to be lost."""
        calls = listed_calls(self._name)
        self._call = len(calls)
        for position, (name, arguments) in enumerate(calls if self._parallel else calls[:1]):
            yield ToolCallDelta(position, new_call_id(), name, arguments, self._index)
        if not calls:
            yield from self._tell_text(self._name)

    def _tell_rest_of_scores(self) -> Iterator[ChatEvent]:
        if tokens := self._scores.rest():
            yield TextDelta("", self._index, tokens)


def listed_calls(text: str) -> list[tuple[str, str]]:
    """The names and arguments of a JSON list of calls; none when the text is no such list."""
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(listed, list) or not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in listed):
        return []
    return [(call["name"], json.dumps(call.get("arguments") or {}, ensure_ascii=False)) for call in listed]


class TextScores:
    """Log probabilities of the tokens that the text told so far was made of: none of what is held back or cut off."""

    def __init__(self, tokenizer: TokenNames) -> None:
        self._tokenizer = tokenizer
        self._waiting: list[TokenLogprob] = []
        self._num_told = 0  # bytes of text
        self._begin = 0  # where the first waiting token begins

    def add(self, logprob: TokenLogprob) -> None:
        """Take in the next token."""
        self._waiting.append(logprob)

    def tell(self, piece: str) -> tuple[ScoredToken, ...]:
        """The tokens that begin in the text so far, the next piece included."""
        self._num_told += len(piece.encode())
        told = []
        while self._waiting and self._begin < self._num_told:
            self._begin += len(self._tokenizer.token_bytes(self._waiting[0].token_id))
            told.append(scored(self._waiting.pop(0), self._tokenizer))
        return tuple(told)

    def rest(self) -> tuple[ScoredToken, ...]:
        """All that wait, at an end that no stop string made."""
        waiting, self._waiting = self._waiting, []
        return tuple(scored(each, self._tokenizer) for each in waiting)


def scored(logprob: TokenLogprob, tokenizer: TokenNames) -> ScoredToken:
    """A token with its log probability as the server tells it."""
    top = tuple(named(token, value, tokenizer) for token, value in logprob.top)
    return named(logprob.token_id, logprob.logprob, tokenizer, top)


def named(
    token_id: int, logprob: float | None, tokenizer: TokenNames, top: tuple[ScoredToken, ...] = ()
) -> ScoredToken:
    """A token by its name and bytes."""
    return ScoredToken(tokenizer.token_name(token_id), tokenizer.token_bytes(token_id), logprob, top)
