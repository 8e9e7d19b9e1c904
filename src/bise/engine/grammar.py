"""Answers that keep to a grammar: JSON of a schema, a regular expression, a Lark grammar, calls of tools.

llguidance (MIT) parses what has been written and says after each token which ones may follow; what is said here is how
it reads our vocabularies and what it may cost. Beside `text.py`, this is the one place of the engine that knows bytes.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.requests import Grammar
from bise.errors import InputError
from bise.messages import Tool
from bise.tokenizer.chat import ChatTokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

MOST_COMPILED = 64  # grammars that are kept; a large schema takes some megabytes
# One style of JSON, the one in which Mistral's templates write it: what may stand nowhere else needs no model.
_JSON = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Matcher:
    """Where one answer is in its grammar."""

    def __init__(
        self, matcher: "LLMatcher", stop_ids: Sequence[int], vocab_size: int, trigger: int | None = None
    ) -> None:
        self._matcher = matcher
        self._stop_ids = stop_ids
        self._vocab_size = vocab_size
        self._trigger = trigger  # the token that is waited for, until it comes

    def copy(self) -> "Matcher":
        """Another answer at the same place."""
        return Matcher(self._matcher.deep_copy(), self._stop_ids, self._vocab_size, self._trigger)

    @property
    def problem(self) -> str | None:
        """Why it cannot go on, if it cannot: a limit of what a step may cost."""
        return self._matcher.get_error() or None

    @property
    def is_finished(self) -> bool:
        """Whether the answer is whole and nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> NDArray[np.bool_] | None:
        """For each token of the model whether it may follow; those that end the answer where it is whole."""
        if self._trigger is not None:
            return None
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.zeros(self._vocab_size, np.bool_)
        known = np.unpackbits(bits, bitorder="little")[: self._vocab_size]
        allowed[: len(known)] = known
        return allowed

    def take(self, token: int) -> None:
        """Go on by a token that is allowed and does not end the answer."""
        if self._trigger in (None, token):
            self._trigger = None
            self._matcher.consume_token(token)

    def jump(self, most: int) -> list[int]:
        """Go on by the tokens that are the only way, at most so many; they are what the tokenizer makes of that text."""
        forced = [] if most <= 0 or self._trigger is not None else self._matcher.compute_ff_tokens()
        forced = forced[: next((i for i, token in enumerate(forced) if token in self._stop_ids), most)][:most]
        if forced:
            self._matcher.consume_tokens(forced)
        return forced


class Grammars:
    """Compiles grammars for one vocabulary and keeps the last; any thread may."""

    def __init__(self, tokenizer: ChatTokenizer, vocab_size: int) -> None:
        from llguidance import LLTokenizer  # takes a tenth of a second, and the server only describes grammars

        self._stop_ids = tokenizer.stop_ids
        self._vocab_size = vocab_size  # of the model, which may have more rows than there are tokens
        self._tokenizer = LLTokenizer(
            _Vocabulary(tokenizer),  # type: ignore[arg-type]  # it has what is asked of a TokenizerWrapper
            n_vocab=tokenizer.vocab_size,
            eos_token=list(tokenizer.stop_ids),
        )
        self._compiled: OrderedDict[Grammar, Matcher] = OrderedDict()  # least recently used first
        self._lock = Lock()

    def __len__(self) -> int:
        """Grammars that are kept."""
        return len(self._compiled)

    def matcher(self, grammar: Grammar) -> Matcher:
        """The beginning of an answer.

        Raises:
            InputError: it cannot be expressed, or is too large; the message names the part.
        """
        with self._lock:
            if grammar in self._compiled:
                self._compiled.move_to_end(grammar)
                return self._compiled[grammar].copy()
        compiled = self._compile(grammar)
        with self._lock:
            self._compiled[grammar] = compiled
            if len(self._compiled) > MOST_COMPILED:
                self._compiled.popitem(last=False)
        return compiled.copy()

    def _compile(self, grammar: Grammar) -> Matcher:
        from llguidance import LLMatcher

        # llguidance bounds what compiling and each step may cost, so that a hostile grammar cannot hold up others.
        matcher = LLMatcher(self._tokenizer, _source(grammar), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()
            shown = " ".join(line.strip() for line in reason)[:300]
            raise InputError(f"The {_NAMES[grammar.kind]} cannot be kept to: {shown}. Change or leave out that part.")
        return Matcher(matcher, self._stop_ids, self._vocab_size, grammar.trigger)


_NAMES = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "grammar"}


def schema_grammar(schema: Any) -> Grammar:
    """Whatever a JSON schema allows, a table or a boolean.

    Raises:
        InputError: it is neither, or larger than may be.
    """
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise InputError(f"The JSON schema is {json.dumps(schema)[:80]}, but must be an object that allows something.")
    return Grammar("json_schema", json.dumps(schema, ensure_ascii=False))


def object_grammar() -> Grammar:
    """Any JSON object."""
    return schema_grammar({"type": "object"})


def calls_grammar(
    tools: Sequence[Tool], *, call_id: int, arguments_id: int, required: bool, name: str | None, parallel: bool
) -> Grammar:
    """Calls of tools as templates from v13 on write them, `[TOOL_CALLS]name[ARGS]{...}`.

    Where none is required, the answer is free until the model begins a call, and may end without one. The arguments keep to the tool's schema, as far as it can be expressed: what cannot is left to the model.

    Raises:
        InputError: the schemas are larger than may be.
    """
    offered = [tool for tool in tools if name in (None, tool.name)]
    rules = [
        f"call{index}: <[{call_id}]> {json.dumps(tool.name)} <[{arguments_id}]> %json {_arguments(tool)}"
        for index, tool in enumerate(offered)
    ]
    start = f"start: call{'+' if parallel else ''}"
    call = "call: " + " | ".join(f"call{index}" for index in range(len(offered)))
    return Grammar("lark", "\n".join([start, call, *rules]), None if required else call_id)


def _arguments(tool: Tool) -> str:
    options = {**_JSON, "lenient": True}
    return json.dumps({"type": "object", **tool.parameters, "x-guidance": options}, ensure_ascii=False)


def _source(grammar: Grammar) -> str:
    from llguidance import LLMatcher

    try:
        if grammar.kind == "json_schema":
            return LLMatcher.grammar_from_json_schema(grammar.source, overrides=_JSON)  # type: ignore[arg-type]
        return (
            LLMatcher.grammar_from_regex(grammar.source)
            if grammar.kind == "regex"
            else LLMatcher.grammar_from_lark(grammar.source)
        )
    except ValueError as error:  # nested deeper than JSON is read, for example
        raise InputError(f"The {_NAMES[grammar.kind]} cannot be read: {error}.") from None


class _Vocabulary:
    """A tokenizer as llguidance wants it: control tokens have names that no text can hold."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id, self.bos_token_id = tokenizer.eos_id, tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token) or b"\xff[%d]" % token for token in range(tokenizer.vocab_size)]
        self.special_token_ids = [t for t in range(tokenizer.vocab_size) if not tokenizer.token_bytes(t)]

        self._by_bytes = {data: token for token, data in enumerate(self.tokens)}
        self._longest = max(map(len, self.tokens))

    def __call__(self, text: str | bytes) -> list[int]:
        """The tokens of a text in the middle of an answer."""
        data = text.encode() if isinstance(text, str) else text
        ids = self._tokenizer.encode(data.decode())
        # SentencePiece puts a space before every text; the longest tokens that fit are nearly what it makes otherwise.
        return ids if b"".join(self.tokens[token] for token in ids) == data else self._greedy(data)

    def _greedy(self, data: bytes) -> list[int]:
        ids, start = list[int](), 0
        while start < len(data):
            ends = range(min(len(data), start + self._longest), start, -1)
            end = next(end for end in ends if data[start:end] in self._by_bytes)
            ids.append(self._by_bytes[data[start:end]])
            start = end
        return ids
