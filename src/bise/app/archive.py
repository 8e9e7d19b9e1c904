"""Everything of an owner's as one zip file, made while it is sent: for each conversation a JSON file, which can be brought in
again, and a Markdown file to read. Both say which words an AI made.

    bise.json                        format, version, when, how many, and the projects
    conversations/0001 Title.json    `PortableConversation`; docs/chat.md describes it
    conversations/0001 Title.md      what is shown of it, then the other branches
"""

import asyncio
import json
import re
import zipfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bise.errors import NotFoundError
from bise.store.database import Database
from bise.store.folders import list_folders
from bise.store.portable import PortableConversation, PortableMessage, list_portable, read_portable
from bise.store.tables import now

FORMAT = "bise-conversation"
VERSION = 1
_NO_NAME = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')  # what some system does not want in the name of a file
_MAX_NAME_CHARS = 60
_PIECE_BYTES = 64 << 10

# What the Markdown files say besides what was said: you, the AI, an edited answer, other branches, and the notice.
_WORDS = {
    "en": ("You", "AI", "edited by hand", "Other versions", "Answers under “AI” were made by an AI model; they can be wrong."),
    "de": ("Frage", "KI", "von Hand bearbeitet", "Andere Fassungen", "Was bei „KI“ steht, hat ein KI-Modell geschrieben; es kann falsch sein."),
    "fr": ("Vous", "IA", "modifiée à la main", "Autres versions", "Les réponses sous «\u00a0IA\u00a0» viennent d’un modèle d’IA et peuvent être fausses."),
    "es": ("Usted", "IA", "editada a mano", "Otras versiones", "Las respuestas bajo «IA» son de un modelo de IA y pueden estar equivocadas."),
    "it": ("Tu", "IA", "modificata a mano", "Altre versioni", "Le risposte sotto «IA» vengono da un modello di IA e possono essere sbagliate."),
}  # fmt: skip


async def write_archive(database: Database, owner: str, language: str) -> AsyncIterator[bytes]:
    """Make the zip file piece by piece; a conversation that is deleted meanwhile is left out."""
    pipe = _Pipe()
    ids = await list_portable(database, owner)
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        head: dict[str, Any] = {"format": "bise-export", "version": VERSION, "exported_at": now().isoformat()}
        notice = _WORDS["en"][-1].replace("under “AI”", "with made_by “ai”")
        projects = [
            {"name": each.name, "instructions": each.instructions} for each in await list_folders(database, owner)
        ]
        head |= {"num_conversations": len(ids), "projects": projects, "notice": notice}
        archive.writestr("bise.json", _json(head))
        for number, conversation_id in enumerate(ids, 1):
            try:
                conversation = await read_portable(database, owner, conversation_id)
            except NotFoundError:
                continue
            await asyncio.to_thread(_add, archive, number, conversation, language)
            if pipe.size_bytes > _PIECE_BYTES:
                yield pipe.take()
    yield pipe.take()


class _Pipe:
    """What a zip file is written into, and taken from meanwhile; it cannot go back, so the zip file never asks it to."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size_bytes = 0

    def write(self, piece: bytes) -> int:
        """Keep a piece until it is taken."""
        self._pieces.append(bytes(piece))
        self.size_bytes += len(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        """Give what was written since it was last taken."""
        pieces, self._pieces, self.size_bytes = self._pieces, [], 0
        return b"".join(pieces)


def _add(archive: zipfile.ZipFile, number: int, conversation: PortableConversation, language: str) -> None:
    name = f"conversations/{number:04d} {_file_name(conversation.title)}".rstrip(" .")
    archive.writestr(f"{name}.json", _json(as_record(conversation)))
    archive.writestr(f"{name}.md", as_markdown(conversation, language))


def as_record(conversation: PortableConversation) -> dict[str, Any]:
    """Write a conversation as one JSON object; moments are in ISO 8601."""
    record: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(conversation)}
    for message in record["messages"]:
        message["made_by"] = "ai" if message["role"] == "assistant" else "person"
    return record


def as_markdown(conversation: PortableConversation, language: str) -> str:
    """Write a conversation to be read: what is shown, then the branches beside it."""
    *_, others, notice = _WORDS.get(language, _WORDS["en"])
    children: dict[str | None, list[PortableMessage]] = {}
    for message in conversation.messages:
        children.setdefault(message.parent, []).append(message)
    head = [f"# {conversation.title or '…'}", f"*{notice}*"]
    if conversation.system_prompt:
        head.append("> " + conversation.system_prompt.replace("\n", "\n> "))
    branches: list[PortableMessage] = []
    parts = _path(children, None, branches, language)
    while branches:
        start = branches.pop(0)
        parts += [f"---\n\n# {others}", *_spoken(start, language), *_path(children, start.id, branches, language)]
    return "\n\n".join([*head, *parts]) + "\n"


def _path(
    children: dict[str | None, list[PortableMessage]],
    here: str | None,
    branches: list[PortableMessage],
    language: str,
) -> list[str]:
    """What is shown after a message; the messages beside are added to the branches."""
    parts: list[str] = []
    while beside := children.get(here):
        shown = next((message for message in beside if message.shown), beside[-1])
        branches += [message for message in beside if message is not shown]
        parts += _spoken(shown, language)
        here = shown.id
    return parts


def _spoken(message: PortableMessage, language: str) -> list[str]:
    you, machine, edited, *_ = _WORDS.get(language, _WORDS["en"])
    facts = [you if message.role == "user" else machine]
    facts += [message.model] if message.model else []
    facts += [edited] if message.better else []
    title = f"## {' · '.join(facts)} · {message.created_at:%Y-%m-%d %H:%M} UTC"
    text = message.better.content if message.better else message.content
    return [title, text] if text else [title]


def _file_name(title: str) -> str:
    return " ".join(_NO_NAME.sub(" ", title).split())[:_MAX_NAME_CHARS]


def _json(value: object) -> str:
    def moment(each: object) -> str:
        assert isinstance(each, datetime)
        return each.isoformat()

    return json.dumps(value, ensure_ascii=False, indent=1, default=moment) + "\n"
