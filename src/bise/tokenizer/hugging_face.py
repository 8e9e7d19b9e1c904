"""Tokenizers of other models: a tokenizer.json and a Jinja chat template, as Hugging Face directories hold them.

The `tokenizers` library cuts the text, in a process of its own: a damaged file can make it abort. It finds control tokens
anywhere in what a template gives, so what people say must not look like one: while the template runs, the first character
of each control token stands in what they said as a noncharacter of Unicode, which the vocabulary's normaliser turns back
after control tokens have been found.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.messages import Conversation, Message
from bise.tokenizer.answers import THOUGHTS
from bise.tokenizer.bounded import BoundedProcess, Refused
from bise.tokenizer.letters import as_bytes, byte_of_letter
from bise.tokenizer.template import Template

BLANK = "▁"  # what SentencePiece writes for a space
_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
_HERE = _NONCHARACTERS[-1]  # where an answer goes on
_LOAD_LIMIT_S = 60.0
_LIMIT_S = 10.0
_SLOWEST = 50_000  # characters a second; the library does a million


@dataclass(frozen=True)
class Parts:
    """What a tokenizer is made of, whichever files held it."""

    files: tuple[Path, ...]  # all of it, the vocabulary first
    table: dict[str, Any]  # as in tokenizer.json
    special: dict[str, str]  # bos_token, eos_token and the like, which templates use, too
    stop_ids: tuple[int, ...]  # what else than eos_token ends an answer
    templates: dict[str, Template]  # by name; the one without is "default"


class HuggingFaceCodec:
    """A vocabulary of the `tokenizers` library with a Jinja template."""

    def __init__(self, parts: Parts) -> None:
        """Build the vocabulary.

        Raises:
            InputError: it is damaged, or of a kind that Bise does not read.
        """
        try:
            self._build(parts)
        except RecursionError:
            raise InputError(f"{parts.files[0]} is damaged: it is nested too deeply. Fetch it again.") from None

    def _build(self, parts: Parts) -> None:
        path, table = parts.files[0], parts.table
        added = _added_tokens(table, parts.special, path)
        self.files = parts.files
        self.control_tokens = {token.id: token.content for token in added if token.is_control}
        self.token_bytes, self.drops_first_space = _token_bytes(table, added, path)
        ids = {token.content: token.id for token in added}
        self.bos_id = ids.get(parts.special.get("bos_token", ""))
        self.stop_ids = self._find_stops(ids.get(parts.special.get("eos_token", "")), parts)
        self._special, self._templates = parts.special, parts.templates
        self._speech = _Speech(added, path)
        self._cutter = _Cutter(table, self._speech.stand_ins, set(self.control_tokens.values()), path)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text.

        Raises:
            InputError: the vocabulary's expressions take too much time or memory for this text.
        """
        return self._cutter.cut(_sound(text), "plain")[0]

    def segments(self, conversation: Conversation, for_completion: bool) -> Iterator[tuple[list[int], bool]]:
        """The ids of what the template gives, in runs, and whether the assistant wrote each.

        Raises:
            InputError: there is no template, it refuses the conversation, or it does not show where answers begin.
        """
        if not conversation.messages:
            raise InputError("A conversation needs at least one message.")
        text, said = self._prompt(conversation) if for_completion else self._lesson(conversation)
        ids, starts = self._cutter.cut(text, "whole")
        for by_assistant, run in groupby(zip(ids, _inside(starts, said), strict=True), key=lambda pair: pair[1]):
            yield [token for token, _ in run], by_assistant

    def _prompt(self, conversation: Conversation) -> tuple[str, list[tuple[int, int]]]:
        """What the model is to go on from; an answer that is open already ends where it ends."""
        if conversation.messages[-1].role != "assistant":
            return self._render(conversation, adds_prompt=True), []
        text = self._render(conversation, adds_prompt=False, is_open=True)
        end = text.rfind(_HERE)
        if end < 0:
            raise InputError("The chat template of this model leaves answers out that are to be continued.")
        return text[:end], []

    def _lesson(self, conversation: Conversation) -> tuple[str, list[tuple[int, int]]]:
        """A whole conversation, and where in it the assistant speaks, its closing token included."""
        if conversation.messages[-1].role != "assistant":
            raise InputError("A conversation to learn from must end with a message from the assistant.")
        text, said = self._render(conversation, adds_prompt=False), []
        for index, message in enumerate(conversation.messages):
            if message.role != "assistant":
                continue
            before = self._render(conversation, adds_prompt=True, end=index)
            if not text.startswith(before):
                raise InputError(
                    f"The chat template of this model rewrites what stands before message {index + 1}, so its answers "
                    "cannot be learned together. Cut the conversation into one for each answer."
                )
            said.append((len(before), self._end_of_turn(text, len(before))))
        return text, said

    def _end_of_turn(self, text: str, start: int) -> int:
        names = [self.control_tokens[token] for token in self.stop_ids if token in self.control_tokens]
        ends = [at + len(name) for name in names if (at := text.find(name, start)) >= 0]
        return min(ends, default=len(text))

    def _render(
        self, conversation: Conversation, *, adds_prompt: bool, end: int | None = None, is_open: bool = False
    ) -> str:
        named = self._templates.get("tool_use") if conversation.tools else None
        template = named or self._templates.get("default")
        if template is None:
            raise InputError(
                "This model has no chat template, as base models have none. Ask it to complete text, or tune it first."
            )
        messages = [self._speech.message(message) for message in conversation.messages[:end]]
        if is_open:
            messages[-1]["content"] += _HERE
        tools = [
            {
                "type": "function",
                "function": self._speech.value(
                    {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
                ),
            }
            for tool in conversation.tools
        ]
        variables = {"messages": messages, "tools": tools or None, "documents": None}
        return template.render(self._special | variables | {"add_generation_prompt": adds_prompt})

    def _find_stops(self, eos_id: int | None, parts: Parts) -> tuple[int, ...]:
        found = [token for token in dict.fromkeys((eos_id, *parts.stop_ids)) if token is not None]
        known = [token for token in found if 0 <= token < len(self.token_bytes)]
        if not known:
            raise InputError(f"{parts.files[0]} has no eos_token in its vocabulary, so answers would never end.")
        return tuple(known)


@dataclass(frozen=True)
class _AddedToken:
    id: int
    content: str
    is_control: bool


class _Speech:
    """What people, tools and models say, made safe for the template."""

    def __init__(self, added: list[_AddedToken], path: Path) -> None:
        firsts = sorted({token.content[0] for token in added})
        if len(firsts) > len(_NONCHARACTERS) - 1:
            raise InputError(f"{path}: added tokens begin with {len(firsts)} different characters, which are too many.")
        self.stand_ins = dict(zip(firsts, _NONCHARACTERS, strict=False))
        gone = str.maketrans(dict.fromkeys(_NONCHARACTERS, "\ufffd"))
        self._everywhere = gone | str.maketrans(self.stand_ins)
        self._gone = gone
        controls = [re.escape(token.content) for token in added if token.is_control]
        self._controls = re.compile("|".join(sorted(controls, key=len, reverse=True)) or r"(?!)")

    def message(self, message: Message) -> dict[str, Any]:
        """A message as templates want it; the arguments of calls as the object that they are."""
        is_answer = message.role == "assistant"
        entry: dict[str, Any] = {
            "role": message.role,
            "content": self.answer(message.content) if is_answer else self.value(message.content),
        }
        if message.tool_calls:
            entry["tool_calls"] = [
                {
                    "id": self.value(call.id),
                    "type": "function",
                    "function": {"name": self.value(call.name), "arguments": self.value(_arguments(call.arguments))},
                }
                for call in message.tool_calls
            ]
        if message.role == "tool":
            entry |= {"tool_call_id": self.value(message.tool_call_id), "name": self.value(message.name)}
        return entry

    def value(self, value: Any) -> Any:
        """JSON in which no text holds the beginning of an added token."""
        if isinstance(value, str):
            return _sound(value).translate(self._everywhere)
        if isinstance(value, dict):
            return {self.value(key): self.value(entry) for key, entry in value.items()}
        return [self.value(entry) for entry in value] if isinstance(value, list | tuple) else value

    def answer(self, text: str) -> str:
        """What the model said: its own marks, such as those of thoughts, stay what they are, control tokens do not."""
        safe = _sound(text).translate(self._gone)
        return self._controls.sub(lambda match: self.stand_ins[match[0][0]] + match[0][1:], safe)


class _Cutter:
    """The library's process: a text's ids, with control tokens found in it or not."""

    def __init__(self, table: dict[str, Any], stand_ins: dict[str, str], controls: set[str], path: Path) -> None:
        table = table | {"post_processor": None, "truncation": None, "padding": None}
        none = {"type": "BPE", "vocab": {}, "merges": []}
        whole = table | {"model": _without_controls(table["model"], controls) | {"dropout": None}}
        tables = {
            "whole": _with_stand_ins(whole, stand_ins),
            "cutter": table | {"added_tokens": [], "model": none, "decoder": None},
        }
        self._path = path
        self._process = BoundedProcess("bise.tokenizer.hugging_face_worker", tables)
        try:
            self._process.prepare(_LOAD_LIMIT_S)
        except Refused as reason:
            raise InputError(f"{path} is not a tokenizer that can be read: it {reason}. Fetch it again.") from None

    def cut(self, text: str, by: str) -> tuple[list[int], list[int]]:
        """The ids, and with "whole" where in the text each begins."""
        try:
            ids, starts = self._process.ask({"by": by, "text": text}, _LIMIT_S + len(text) / _SLOWEST)
        except Refused as reason:
            raise InputError(
                f"The tokenizer {self._path} {reason}, with a text of {len(text):,} characters. Use a shorter text, or a "
                "model from a source that you trust."
            ) from None
        return ids, starts


def _arguments(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _sound(text: str) -> str:
    """The text with U+FFFD for half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _inside(starts: list[int], spans: list[tuple[int, int]]) -> list[bool]:
    """Whether each position is inside one of some spans, both in order."""
    masks, at = [], 0
    for start in starts:
        while at < len(spans) and start >= spans[at][1]:
            at += 1
        masks.append(at < len(spans) and start >= spans[at][0])
    return masks


def _added_tokens(table: dict[str, Any], special: dict[str, str], path: Path) -> list[_AddedToken]:
    named = {*special.values(), *THOUGHTS, *THOUGHTS.values()}  # the last are not said to be special everywhere
    try:
        return [
            _AddedToken(int(entry["id"]), str(entry["content"]), bool(entry["special"]) or entry["content"] in named)
            for entry in table.get("added_tokens") or []
            if entry["content"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: its added_tokens are wrong ({error!r}). Fetch it again.") from None


def _token_bytes(table: dict[str, Any], added: list[_AddedToken], path: Path) -> tuple[list[bytes], bool]:
    """The bytes of each token by id, and whether words carry the space before them as SentencePiece's do."""
    model = table.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(vocabulary, dict):
        kind = model.get("type") if isinstance(model, dict) else None
        raise InputError(f"{path} holds a vocabulary of the kind {kind!r}. Bise reads those of merged pairs (BPE).")
    by_letters = '"ByteLevel"' in json.dumps(table.get("decoder"))
    ids = [*vocabulary.values(), *(token.id for token in added)]
    if not all(type(token) is int and 0 <= token < 2 * len(ids) + 65536 for token in ids):
        raise InputError(f"{path} is damaged: it has ids that are no places in a vocabulary. Fetch it again.")
    content = [b""] * (max(ids, default=-1) + 1)
    for name, token in vocabulary.items():
        content[token] = _letters(name) if by_letters else _piece(name)
    for extra in added:
        content[extra.id] = b"" if extra.is_control else extra.content.encode("utf-8", "replace")
    return content, not by_letters


def _letters(name: str) -> bytes:
    return as_bytes(name) if byte_of_letter().keys() >= set(name) else name.encode("utf-8", "replace")


def _piece(name: str) -> bytes:
    return (
        bytes([int(name[3:5], 16)])
        if _BYTE_PIECE.fullmatch(name)
        else name.replace(BLANK, " ").encode("utf-8", "replace")
    )


def _with_stand_ins(table: dict[str, Any], stand_ins: dict[str, str]) -> dict[str, Any]:
    """The table with control tokens found in the text as it came, before stand-ins become what they stand for."""
    turned = [{"type": "Replace", "pattern": {"String": s}, "content": c} for c, s in stand_ins.items()]
    own = [table["normalizer"]] if table.get("normalizer") else []
    added = [entry | {"normalized": False} for entry in table.get("added_tokens") or []]
    return table | {"added_tokens": added, "normalizer": {"type": "Sequence", "normalizers": turned + own}}


def _without_controls(model: dict[str, Any], controls: set[str]) -> dict[str, Any]:
    """The pairs to merge without those that would give a control token from text."""
    merges = model.get("merges")
    kept = [merge for merge in merges if _joined(merge) not in controls] if isinstance(merges, list) else []
    return model | {"merges": kept}


def _joined(merge: Any) -> str:
    return "".join(map(str, merge)) if isinstance(merge, list) else str(merge).replace(" ", "")
