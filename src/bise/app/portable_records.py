"""JSON objects that somebody brings, made into conversations: those of our own exports and of ChatGPT's.

Both come from outside: whatever is odd in them is left out and counted, or an `InputError` for that conversation alone.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bise.app.archive import FORMAT, VERSION
from bise.app.chat_settings import ChatSettings, Parameters
from bise.errors import InputError
from bise.store.feedback import MAX_COMMENT_CHARS, REASONS
from bise.store.folders import MAX_INSTRUCTIONS_CHARS, MAX_NAME_CHARS
from bise.store.portable import PortableConversation, PortableFolder, PortableMessage, check_tree
from bise.store.tables import now

MAX_MESSAGES = 20_000  # in one conversation
_MAX_LEVELS = 6  # of objects inside objects, in what is kept as JSON
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_LATEST_S = 4_102_444_800  # the year 2100
_CONVERSATION = TypeAdapter(PortableConversation)
# What ChatGPT keeps beside words: the kinds of contents, by the names under which they are counted.
_KINDS = {
    "code": "tools",
    "execution_output": "tools",
    "tether_browsing_display": "tools",
    "tether_quote": "tools",
    "thoughts": "thinking",
    "reasoning_recap": "thinking",
    "user_editable_context": "hidden",
    "model_editable_context": "hidden",
}


@dataclass(frozen=True)
class Brought:
    """A conversation to take in, where its id comes from, and how many pieces of which kind were left out."""

    conversation: PortableConversation
    source: str
    left_out: Counter[str]


def read_record(record: Mapping[str, Any]) -> Brought:
    """Make a conversation of an object.

    Raises:
        InputError: it is none, is damaged, or was written by a newer Bise.
    """
    if record.get("format") == FORMAT:
        return Brought(_read_own(record), "bise", Counter())
    if isinstance(record.get("mapping"), dict):
        return _read_chatgpt(record)
    raise InputError("It is neither a conversation of Bise nor one of ChatGPT.")


def _read_own(record: Mapping[str, Any]) -> PortableConversation:
    if record.get("version") != VERSION:
        raise InputError(f"Its version is {str(record.get('version'))[:20]}; this Bise reads {VERSION}. Update Bise.")
    try:
        conversation = _CONVERSATION.validate_python(_cleaned(record))
        own = {"system_prompt": conversation.system_prompt, "parameters": conversation.parameters or {}}
        settings = ChatSettings.model_validate(own)
        for message in conversation.messages:
            Parameters.model_validate(message.parameters or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{place}: {first['msg']}.") from None
    except RecursionError:
        raise InputError("It is nested too deeply.") from None
    _check_size(len(conversation.messages))
    check_tree(conversation.messages)
    _check_preferences(conversation)
    return replace(
        conversation,
        title=conversation.title[:200],
        model=_short(conversation.model, 200),
        messages=_one_shown(tuple(_bounded(message) for message in conversation.messages)),
        created_at=_with_zone(conversation.created_at),
        updated_at=_with_zone(conversation.updated_at),
        pinned_at=conversation.pinned_at and _with_zone(conversation.pinned_at),
        folder=conversation.folder and _folder(conversation.folder),
        parameters=settings.parameters.model_dump(exclude_none=True) or None,
    )


def _folder(folder: PortableFolder) -> PortableFolder | None:
    name = " ".join(folder.name.split())[:MAX_NAME_CHARS]
    return PortableFolder(name, folder.instructions[:MAX_INSTRUCTIONS_CHARS]) if name else None


def _bounded(message: PortableMessage) -> PortableMessage:
    """Cut what is longer than the database holds, and take out feedback where none can be."""
    if not _is_shallow(message.stats, _MAX_LEVELS):
        raise InputError("Its stats are nested too deeply.")
    rating, better = message.rating, message.better
    if message.role == "user":
        rating = better = None
    if rating is not None:
        reason = rating.reason if rating.reason in REASONS[rating.thumb] else None
        comment = _short(rating.comment, MAX_COMMENT_CHARS)
        rating = replace(rating, reason=reason, comment=comment, created_at=_with_zone(rating.created_at))
    if better is not None:
        better = replace(better, created_at=_with_zone(better.created_at))
    return replace(
        message,
        created_at=_with_zone(message.created_at),
        model=_short(message.model, 200),
        finish_reason=_short(message.finish_reason, 32),
        rating=rating,
        better=better,
    )


def _check_preferences(conversation: PortableConversation) -> None:
    known = {message.id: (message.role, message.parent) for message in conversation.messages}
    pairs = set()
    for each in conversation.preferences:
        first, second = known.get(each.first), known.get(each.second)
        pairs.add((each.first, each.second))
        if first is None or first != second or first[0] != "assistant" or each.first == each.second:
            raise InputError("A preference is not between two answers to one question.")
        _with_zone(each.created_at)
    if len(pairs) < len(conversation.preferences):
        raise InputError("Two preferences are about the same two answers.")


def _read_chatgpt(record: Mapping[str, Any]) -> Brought:
    """Read the tree of one conversation of ChatGPT's `conversations.json`.

    Its nodes also hold instructions, tool calls, thoughts and empty roots: these are left out, and what follows them follows what
    they follow. Answers in several pieces become one. What no root leads to, a ring for example, is left out, too.
    """
    nodes = {str(name): node for name, node in record["mapping"].items() if isinstance(node, dict)}
    _check_size(len(nodes))
    left_out: Counter[str] = Counter()
    began = _moment(record.get("create_time"), now())
    builder = _Tree(began)
    num_reached = 0
    for name, node, parent in _walk(nodes):
        num_reached += 1
        builder.add(name, node.get("message"), parent, left_out)
    if num_reached < len(record["mapping"]):
        left_out["broken"] += len(record["mapping"]) - num_reached
    said = builder.messages(str(record.get("current_node")))
    conversation = PortableConversation(
        id=str(record.get("conversation_id") or record.get("id") or min(nodes, default="")),
        title=_clean(record.get("title"))[:200],
        created_at=began,
        updated_at=_moment(record.get("update_time"), began),
        messages=said,
    )
    return Brought(conversation, "chatgpt", left_out)


def _walk(nodes: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Give each node that a root leads to, with the name of the one before it, parents first."""
    children: dict[str | None, list[str]] = {}
    order: dict[str, int] = {}  # of those beside each other, as their parent lists them
    for name, node in nodes.items():
        parent, listed = node.get("parent"), node.get("children")
        parent = parent if isinstance(parent, str) and parent in nodes else None
        children.setdefault(parent, []).append(name)
        if isinstance(listed, list):
            order |= {child: place for place, child in enumerate(listed) if isinstance(child, str)}
    for beside in children.values():
        beside.sort(key=lambda name: order.get(name, len(nodes)))
    waiting: list[tuple[str, str | None]] = [(name, None) for name in reversed(children.get(None, []))]
    while waiting:
        name, parent = waiting.pop()
        yield name, nodes[name], parent
        waiting += [(child, name) for child in reversed(children.get(name, []))]


class _Tree:
    """Questions and answers in turn, from nodes of all kinds, each added after its parent."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self._said: dict[str, PortableMessage] = {}
        self._pieces: dict[str, list[str]] = {}  # of the text, by message
        self._place: dict[str | None, str | None] = {None: None}  # by node: the message that it is, or that it follows
        self._end: dict[str, str | None] = {}  # by message: the node that it ends with, so far

    def add(self, name: str, message: Any, parent: str | None, left_out: Counter[str]) -> None:
        """Add a node; answers in pieces become one, and where they part, the first way has what came before."""
        above = self._place[parent]
        read, before = self._read(name, message, left_out), None if above is None else self._said[above]
        if (
            before is not None
            and self._end[before.id] == parent
            and (read is None or read.role == before.role == "assistant")
        ):
            self._end[before.id] = name
            self._pieces[before.id] += [read.content] if read else []
            self._place[name] = before.id
        elif read is None:
            self._place[name] = above
        else:
            self._place[name] = self._say(read, self._fit(read, before))

    def messages(self, current: str) -> tuple[PortableMessage, ...]:
        """All messages, parents first; shown are those that lead to a node, and the newest of what stands beside."""
        shown, here = set(), self._place.get(current)
        while here is not None:
            shown.add(here)
            here = self._said[here].parent
        return _one_shown(
            tuple(
                replace(message, content="\n\n".join(self._pieces[name]), shown=name in shown)
                for name, message in self._said.items()
            )
        )

    def _fit(self, read: PortableMessage, before: PortableMessage | None) -> str | None:
        """What a message follows: its parent, a sibling's parent, or one that is put in between to keep the turns."""
        if before is None:
            return None if read.role == "user" else self._fill(f"{read.id} question", "user", "…", None)
        if read.role != before.role:
            return before.id
        return (
            before.parent if read.role == "assistant" else self._fill(f"{read.id} answer", "assistant", "", before.id)
        )

    def _fill(self, name: str, role: Any, content: str, parent: str | None) -> str:
        status: Any = "complete" if content else "interrupted"
        return self._say(PortableMessage(name, None, role, content, self._began, status=status), parent)

    def _say(self, message: PortableMessage, parent: str | None) -> str:
        self._said[message.id] = replace(message, parent=parent, content="")
        self._pieces[message.id], self._end[message.id] = [message.content], message.id
        return message.id

    def _read(self, name: str, message: Any, left_out: Counter[str]) -> PortableMessage | None:
        """Read a node's message; None: there is nothing in it to read on."""
        if not isinstance(message, dict):
            return None
        author, content, facts = (_object(message.get(key)) for key in ("author", "content", "metadata"))
        role, kind, text = author.get("role"), content.get("content_type"), _parts(content, left_out)
        if kind in _KINDS or role == "tool" or message.get("recipient") not in (None, "all"):
            left_out[_KINDS.get(str(kind), "tools")] += 1
            return None
        if not text:
            return None
        if role == "system" or facts.get("is_visually_hidden_from_conversation") is True:
            left_out["hidden"] += 1
            return None
        if role not in ("user", "assistant"):
            left_out["broken"] += 1
            return None
        model = facts.get("model_slug") if role == "assistant" else None
        return PortableMessage(
            id=name,
            parent=None,
            role=role,
            content=text,
            created_at=_moment(message.get("create_time"), self._began),
            model=_short(_clean(model), 200) or None,
        )


def _parts(content: Mapping[str, Any], left_out: Counter[str]) -> str:
    """Join the texts of a message; images and sounds among them are counted."""
    parts = content.get("parts")
    if not isinstance(parts, list):
        return _clean(content.get("text"))
    left_out["attachments"] += sum(isinstance(part, dict) for part in parts)
    return "\n\n".join(filter(None, (_clean(part) for part in parts)))


def _one_shown(said: tuple[PortableMessage, ...]) -> tuple[PortableMessage, ...]:
    """Of the messages with one parent show exactly one: the first that is shown, else the last."""
    chosen: dict[str | None, PortableMessage] = {}
    for message in said:
        if message.parent not in chosen or not chosen[message.parent].shown:
            chosen[message.parent] = message
    return tuple(replace(message, shown=chosen[message.parent] is message) for message in said)


def _check_size(num_messages: int) -> None:
    if num_messages > MAX_MESSAGES:
        raise InputError(f"It has {num_messages} messages; at most {MAX_MESSAGES} are taken in.")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {_clean(name): _cleaned(each) for name, each in value.items()}
    return value


def _clean(value: Any) -> str:
    """A text that every database holds; empty for what is none."""
    return _LONE_SURROGATES.sub("\ufffd", value).replace("\0", "\ufffd") if isinstance(value, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(text: str | None, max_chars: int) -> str | None:
    return None if text is None else text[:max_chars]


def _moment(value: Any, otherwise: datetime) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LATEST_S:
        return datetime.fromtimestamp(value, UTC)
    return otherwise


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None or not 1970 <= moment.year < 2100:
        raise InputError(f"The moment {moment.isoformat()} has no zone, or is out of all bounds.")
    return moment


def _is_shallow(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inside or (levels > 0 and all(_is_shallow(each, levels - 1) for each in inside))
