"""Which part of an answer each of its tokens belongs to: what it says, what it thinks, and the tools it asks for.

In the v13 templates a call is `[TOOL_CALLS]name[ARGS]{"a": 1}`, one after the other; those of v11 have `[CALL_ID]` and an
id before the arguments, and older ones a JSON list of all calls behind one `[TOOL_CALLS]`. A thought stands between
`[THINK]` and `[/THINK]`, or between `<think>` and `</think>` as in Qwen's; some templates open it in the prompt. Only control tokens divide; the same words as text are text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Part = Literal["text", "thinking", "name", "id", "arguments"]
TOOL_CALLS, CALL_ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
THOUGHTS = {"[THINK]": "[/THINK]", "<think>": "</think>"}


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
    """Follows an answer token by token.

    Args:
        vocabulary: of the model.
        tools: whether calls are told apart.
        thoughts: whether thoughts are told apart.
        prompt_ids: what stands before the answer, which may have opened a thought.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, tools: bool, thoughts: bool = True, prompt_ids: Sequence[int] = ()
    ) -> None:
        self._begins: dict[int | None, Part] = {}
        if thoughts:
            for begin, end in THOUGHTS.items():
                self._begins |= {vocabulary.control_id(begin): "thinking", vocabulary.control_id(end): "text"}
            self._begins.pop(None, None)
        opened = next((self._begins[token] for token in reversed(prompt_ids) if token in self._begins), None)
        self._call_id = vocabulary.control_id(TOOL_CALLS) if tools else None
        if self._call_id is not None:
            dividers: dict[int | None, Part] = {
                self._call_id: "name",
                vocabulary.control_id(CALL_ID): "id",
                vocabulary.control_id(ARGS): "arguments",
            }
            self._begins |= dividers
        self._part: Part = opened or "text"
        self._num_calls = 0

    @property
    def part(self) -> Part:
        """The part that the last token belonged to, or the next one where none divides."""
        return self._part

    def take(self, token_id: int) -> Place:
        """Say where the next token belongs."""
        part = self._begins.get(token_id)
        if (part == "arguments" and self._part not in ("name", "id")) or (part == "id" and self._part != "name"):
            part = None  # a divider that divides nothing
        if token_id == self._call_id:
            self._num_calls += 1
        self._part = part or self._part
        return Place(self._part, self._num_calls, part is not None)
