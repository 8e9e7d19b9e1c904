"""Writes the small texts that tests and README commands read, from the sentences in sentences.toml.

`python tests/data/write_texts.py` rewrites `raw/*.jsonl` and `conversations.jsonl`. Each language has 65 documents;
`raw/faults.jsonl` holds what curation must drop, the kind of fault being named in the id.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LANGUAGES = ("en", "fr", "de", "es", "it")
TOPICS = ("village", "sea", "bread", "winter", "library")
NUM_DOCUMENTS = 65  # per language


def number(*key: object) -> int:
    """A large number that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:8], "big")


def record(identity: str, text: str, lang: str) -> dict[str, str]:
    """One line of a raw file."""
    return {"id": identity, "text": text, "lang": lang, "source": "bise-tests"}


def paragraph(bank: dict[str, Sequence[str]], topic: str, lang: str, i: int) -> str:
    """Six of a topic's nine sentences in their order, with one town and one person."""
    sentences = bank[topic]
    kept = sorted(range(len(sentences)), key=lambda j: number(lang, i, topic, j))[:6]
    town = bank["towns"][number(lang, i, "town") % len(bank["towns"])]
    name = bank["names"][number(lang, i, "name") % len(bank["names"])]
    return " ".join(
        sentences[j].format(town=town, name=name, number=3 + number(lang, i, topic, j, "n") % 37) for j in sorted(kept)
    )


def documents(bank: dict[str, Sequence[str]], lang: str) -> list[dict[str, str]]:
    """Documents of two paragraphs on two topics."""
    pairs = [(first, second) for first in TOPICS for second in TOPICS if first != second]
    return [
        record(f"{lang}-{i:03}", "\n\n".join(paragraph(bank, topic, lang, i) for topic in pairs[i % len(pairs)]), lang)
        for i in range(NUM_DOCUMENTS)
    ]


def faults(good: dict[str, list[dict[str, str]]], unwanted: dict[str, Any]) -> list[dict[str, str]]:
    """Exact duplicates, near-empty texts, symbol soup, repeated lines, and a language nobody asked for."""
    rows = [record(f"duplicate-{row['id']}", row["text"], lang) for lang in LANGUAGES for row in good[lang][3:5]]
    rows += [record(f"empty-{i}", text, "en") for i, text in enumerate(("", " \n ", "Hello.", "…"))]
    soup = ("@@## {{}} %% <<>> ~~ ", "|--|==|++| 0101 //\\\\ ", "☆★☆ $$$ ### !!! ")
    rows += [record(f"symbols-{i}", (text * 30).strip(), "en") for i, text in enumerate(soup)]
    rows += [
        record(f"repeated-{lang}", "\n".join([good[lang][7]["text"].split(". ")[0] + "."] * 40), lang)
        for lang in ("en", "fr", "de")
    ]
    return rows + [record(f"unwanted-{i}", text, unwanted["lang"]) for i, text in enumerate(unwanted["texts"])]


def conversations(questions: dict[str, Any]) -> list[dict[str, Any]]:
    """Each question alone, and each followed by thanks."""
    rows = []
    for lang in ("en", "fr"):
        for ask, answer in questions[lang]:
            turns = [
                {"role": role, "content": content}
                for pair in ((ask, answer), questions["thanks"][lang])
                for role, content in zip(("user", "assistant"), pair, strict=True)
            ]
            rows += [{"messages": turns[:n], "lang": lang, "source": "bise-tests"} for n in (2, 4)]
    return rows


def files() -> dict[str, str]:
    """The text of every file by its path below tests/data."""
    table = tomllib.loads((HERE / "sentences.toml").read_text("utf-8"))
    good = {lang: documents(table[lang], lang) for lang in LANGUAGES}
    rows: dict[str, Iterable[object]] = {f"raw/{lang}.jsonl": good[lang] for lang in LANGUAGES}
    rows |= {
        "raw/faults.jsonl": faults(good, table["unwanted"]),
        "conversations.jsonl": conversations(table["questions"]),
    }
    return {path: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines) for path, lines in rows.items()}


if __name__ == "__main__":
    for path, text in files().items():
        (HERE / path).write_text(text, encoding="utf-8")
