"""Conversations and preferences from JSON lines, each line checked before anything starts.

A line is `{"messages": [{"role", "content"}, …], "lang": "en"}`, optionally with "tools" and, in messages, "tool_calls"
and "tool_call_id" in the shape of the OpenAI chat API. A preference is `{"messages": […], "chosen": …, "rejected": …}`:
a conversation that ends with its user, and two answers to it, each a text, a message, or a list of one message; "prompt"
may stand for "messages", and without either, "chosen" and "rejected" are whole conversations, as in data for trl. One line
that breaks the rules fails the run with its number: what a model is taught is checked by whoever teaches it, not dropped
in silence.
"""

import gzip
import hashlib
import json
import lzma
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bise.corpus.recipe import SourceFile
from bise.errors import InputError, NotFoundError
from bise.messages import ROLES, Conversation, Message, Tool, ToolCall
from bise.runs import sha256_file
from bise.tune.recipe import ConversationSource

_SHOWN_FAULTS = 5
_LINE_KEYS = ("messages", "prompt", "chosen", "rejected", "tools", "lang", "id", "source", "licence", "license", "url")
_MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name")
# Who may speak after whom; "" begins.
_MAY_FOLLOW = {
    "": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user"},
    "tool": {"tool", "assistant"},
}


@dataclass(frozen=True)
class Line:
    """One conversation with its language and a hash of its text; of a preference, with the answer that is worse."""

    conversation: Conversation
    lang: str
    sha256: str
    rejected: Message | None = None

    def with_rejected(self) -> Conversation:
        """The conversation with the worse answer at its end."""
        assert self.rejected is not None
        return Conversation((*self.conversation.messages[:-1], self.rejected), self.conversation.tools)


def find_files(source: ConversationSource, root: Path) -> list[Path]:
    """The files of a source in order, verified against their hashes.

    Raises:
        NotFoundError: a file is not there.
        InputError: a file is not the one that the recipe names.
    """
    return [path for file in source.files for path in _find(file, source, root)]


def _find(file: SourceFile, source: ConversationSource, root: Path) -> list[Path]:
    paths = sorted(root.glob(file.path)) if file.is_glob else [root / file.path]
    if not paths or not all(path.is_file() for path in paths):
        origin = f" They come from {source.repository} at commit {source.commit}." if source.repository else ""
        raise NotFoundError(
            f"The conversations {source.name} are not at {root / file.path}. Run from the directory that the paths "
            f"start at, or give it with --set sources.root=DIR.{origin}"
        )
    if file.sha256 and (found := sha256_file(paths[0])) != file.sha256:
        raise InputError(f"{paths[0]} is not the file the recipe names: sha256 {found} instead of {file.sha256}.")
    return paths


def read_source(source: ConversationSource, root: Path) -> list[Line]:
    """Every conversation of a source that its filters take.

    Raises:
        NotFoundError: a file is not there.
        InputError: a file is empty or cannot be read, or a line breaks the rules; the message names the first few.
    """
    lines: list[Line] = []
    faults: list[str] = []
    for path in find_files(source, root):
        number = 0
        for number, text in enumerate(_read_lines(path), start=1):
            try:
                lines.append(parse(text, source.ignored_keys))
            except ValueError as error:
                faults.append(f"{path}:{number}: {error}")
        if not number:
            raise InputError(f"{path} is empty. Put one conversation on each line, or take it out of the recipe.")
    if faults:
        more = f"\n… and {len(faults) - _SHOWN_FAULTS:,} more" if len(faults) > _SHOWN_FAULTS else ""
        raise InputError(
            f"{len(faults):,} lines of the conversations {source.name} break the rules. Mend or remove them:\n"
            + "\n".join(faults[:_SHOWN_FAULTS])
            + more
        )
    return _filter(lines, source)


def _filter(lines: list[Line], source: ConversationSource) -> list[Line]:
    unwanted = re.compile(source.leave_out, re.IGNORECASE) if source.leave_out else None
    taken = [
        line
        for line in lines
        if (not source.languages or line.lang in source.languages)
        and not (unwanted and any(unwanted.search(message.content) for message in line.conversation.messages))
    ]
    if source.max_conversations is not None and len(taken) > source.max_conversations:
        chosen = {line.sha256 for line in sorted(taken, key=lambda line: line.sha256)[: source.max_conversations]}
        taken = [line for line in taken if line.sha256 in chosen]
    return taken


def _read_lines(path: Path) -> Iterator[str]:
    openers = {".gz": gzip.open, ".xz": lzma.open}
    opener: Any = openers.get(path.suffix, open)
    try:
        file: IO[str]
        with opener(path, "rt", encoding="utf-8") as file:
            yield from file
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.") from None


def parse(text: str, ignored_keys: Collection[str] = ()) -> Line:
    """Check and convert one line; keys that are not known must be among those to be ignored.

    Raises:
        ValueError: what is wrong with it.
    """
    if not text.strip():
        raise ValueError("the line is empty")
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError('not an object with a list "messages"')
    _check_keys(record, (*_LINE_KEYS, *ignored_keys), "")
    entries, rejected = (
        _preference(record) if "chosen" in record or "rejected" in record else (record.get("messages"), None)
    )
    if not isinstance(entries, list):
        raise ValueError('not an object with a list "messages"')
    lang = record.get("lang", "")
    if not isinstance(lang, str):
        raise ValueError(f'"lang" is {lang!r}, not text')
    messages = tuple(_message(entry, number) for number, entry in enumerate(entries, start=1))
    _check_order(messages)
    tools = tuple(_tool(entry) for entry in _list(record, "tools"))
    sha256 = hashlib.sha256(json.dumps(entries if rejected is None else [entries, rejected]).encode()).hexdigest()
    if rejected is None:
        return Line(Conversation(messages, tools), lang, sha256)
    worse = _message(rejected, len(entries))
    _check_order((*messages[:-1], worse))
    if worse == messages[-1]:
        raise ValueError("chosen and rejected are the same answer")
    return Line(Conversation(messages, tools), lang, sha256, worse)


def _preference(record: dict[str, Any]) -> tuple[list[Any], Any]:
    """The messages with the better answer at their end, and the worse answer."""
    missing = [key for key in ("chosen", "rejected") if key not in record]
    if missing:
        raise ValueError(f'a preference needs "chosen" and "rejected", and this one has no "{missing[0]}"')
    chosen, rejected = record["chosen"], record["rejected"]
    prompt = record.get("messages", record.get("prompt"))
    if prompt is None and isinstance(chosen, list) and isinstance(rejected, list):
        if chosen[:-1] != rejected[:-1] or not chosen or not rejected:
            raise ValueError("chosen and rejected differ in more than their last message")
        return chosen, rejected[-1]
    if not isinstance(prompt, list):
        raise ValueError('a preference needs a list "messages" (or "prompt") that both answers follow')
    return [*prompt, _answer(chosen, "chosen")], _answer(rejected, "rejected")


def _answer(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return {"role": "assistant", "content": value}
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f'"{key}" holds {len(value)} messages, but must hold one answer')
        return value[0]
    return value


def _check_keys(entry: dict[str, Any], known: Collection[str], where: str) -> None:
    if unknown := sorted(set(entry) - set(known)):
        hint = f"known: {', '.join(known)}" + ("" if where else "; others can be named in ignored_keys of the source")
        raise ValueError(f"unknown key {', '.join(unknown)}{where} ({hint})")


def _list(entry: dict[str, Any], key: str) -> list[Any]:
    value = entry.get(key)
    if value is not None and not isinstance(value, list):
        raise ValueError(f'"{key}" is not a list')
    return value or []


def _message(entry: Any, number: int) -> Message:
    if not isinstance(entry, dict) or entry.get("role") not in ROLES:
        raise ValueError(f"message {number} has no role of {', '.join(ROLES)}")
    _check_keys(entry, _MESSAGE_KEYS, f" in message {number}")
    content, role = entry.get("content"), entry["role"]
    calls = tuple(_tool_call(call, number) for call in _list(entry, "tool_calls"))
    if calls and role != "assistant":
        raise ValueError(f"message {number} has tool_calls, but its role is {role}")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise ValueError(f"the content of message {number} is not text")
    if not content.strip() and not calls:
        raise ValueError(f"message {number} is empty")
    return Message(role, content, calls, entry.get("tool_call_id"), entry.get("name"))


def _tool_call(entry: Any, number: int) -> ToolCall:
    function = entry.get("function") if isinstance(entry, dict) else None
    if isinstance(function, dict):
        call_id, name, arguments = entry.get("id"), function.get("name"), function.get("arguments")
        if isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str):
            return ToolCall(call_id, name, arguments)
    raise ValueError(f'a tool call of message {number} is not {{"id", "function": {{"name", "arguments"}}}}, each text')


def _tool(entry: Any) -> Tool:
    try:
        function = entry["function"]
        return Tool(function["name"], function.get("description", ""), function["parameters"])
    except (KeyError, TypeError, AttributeError):
        raise ValueError('a tool is not {"function": {"name", "description", "parameters"}}') from None


def _check_order(messages: tuple[Message, ...]) -> None:
    previous, called = "", False
    for number, message in enumerate(messages, start=1):
        allowed = {"tool"} if called else _MAY_FOLLOW[previous]
        if message.role not in allowed:
            raise ValueError(
                f"message {number} is by {message.role}, but after {previous or 'nothing'} only "
                f"{' or '.join(sorted(allowed))} may come"
            )
        previous, called = message.role, bool(message.tool_calls)
    if previous != "assistant" or called:
        raise ValueError("the last message is not an answer of the assistant")
