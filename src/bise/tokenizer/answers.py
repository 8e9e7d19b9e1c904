"""Which part of an answer each of its tokens belongs to: what it says, what it thinks, and the tools it asks for.

In the v13 templates a call is `[TOOL_CALLS]name[ARGS]{"a": 1}`, one after the other; those of v11 have `[CALL_ID]` and an
id before the arguments, and older ones a JSON list of all calls behind one `[TOOL_CALLS]`. A thought stands between
`[THINK]` and `[/THINK]`. Only control tokens divide; the same words as text are text.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

Part = Literal["text", "thinking", "name", "id", "arguments"]
TOOL_CALLS, CALL_ID, ARGS, THINK, END_THINK = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]"


class Vocabulary(Protocol):
    """The part of a tokenizer that is needed here."""

    def control_id(self, name: str) -> int | None:
        """The id of a control token, or None when the vocabulary has no such token."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a token stands."""

    part: Part
    call: int  # how many calls have begun before or with it
    divides: bool  # it is no part of anything itself


class AnswerParts:
    """Follows an answer token by token; `tools` and `thoughts` are whether calls and thoughts are told apart at all."""

    def __init__(self, vocabulary: Vocabulary, *, tools: bool, thoughts: bool = True) -> None:
        self._begins: dict[int | None, Part] = {}
        if thoughts:
            self._begins = {vocabulary.control_id(THINK): "thinking", vocabulary.control_id(END_THINK): "text"}
        self._call_id = vocabulary.control_id(TOOL_CALLS) if tools else None
        if self._call_id is not None:
            dividers: dict[int | None, Part] = {
                self._call_id: "name",
                vocabulary.control_id(CALL_ID): "id",
                vocabulary.control_id(ARGS): "arguments",
            }
            self._begins |= dividers
        self._part: Part = "text"
        self._num_calls = 0

    def take(self, token_id: int) -> Place:
        """Say where the next token belongs."""
        part = self._begins.get(token_id)
        if (part == "arguments" and self._part not in ("name", "id")) or (part == "id" and self._part != "name"):
            part = None  # a divider that divides nothing
        if token_id == self._call_id:
            self._num_calls += 1
        self._part = part or self._part
        return Place(self._part, self._num_calls, part is not None)
