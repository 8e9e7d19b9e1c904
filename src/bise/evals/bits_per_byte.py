"""Bits per byte: how well a model foresees texts that it was not trained on, in each language.

The bits that a document costs over its bytes of UTF-8 compare models of different vocabularies, which a loss per token
does not. The unit is the document: it is scored from its beginning and whole, and intervals are over documents.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bise.errors import InputError, NotFoundError
from bise.evals.api import Api, Progress
from bise.evals.data import read_records, sample
from bise.evals.results import Item, item_id
from bise.evals.rolling import score_documents
from bise.evals.shapes import text
from bise.evals.tasks import EvalSettings, Suite, Task

_DIRECTORY = "texts"  # below the root of the data, where no other is named


def _tasks(settings: EvalSettings) -> Sequence[Task]:
    """A task for each language, as the files' names begin with it."""
    return [
        Task(
            "bits-per-byte",
            f"bits-per-byte-{language}",
            "bits_per_byte",
            tuple(files),
            partial(_measure, tuple(files), language),
            "likelihood",
            language,
            higher_is_better=False,
            is_binary=False,
        )
        for language, files in sorted(_files(settings).items())
    ]


def _files(settings: EvalSettings) -> dict[str, list[Path]]:
    place = settings.data.texts or (settings.data.root / _DIRECTORY if settings.data.root else None)
    if place is None:
        raise InputError(
            "Texts are not part of Bise. Name a file, or a directory of files by language, such as fr.jsonl or "
            "fr-00.jsonl.xz (lines of JSON with text), with --set data.texts=PATH."
        )
    paths = [place] if place.is_file() else sorted(place.glob("*.jsonl*")) if place.is_dir() else []
    if not paths:
        raise NotFoundError(
            f"There are no texts at {place}. Expected: files such as fr.jsonl with lines that have text."
        )
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.name.split(".")[0].split("-")[0]].append(path)
    return found


def _measure(files: Sequence[Path], language: str, api: Api, settings: EvalSettings, progress: Progress) -> list[Item]:
    records = sample(read_records(files, {"text": text}), settings.limit, settings.seed)
    texts = [record["text"] for record in records if record["text"]]
    scores = score_documents(api, texts, progress)
    return [
        Item(item_id(each), score.nats / math.log(2), float(score.size_bytes), score.size_bytes, language)
        for each, score in zip(texts, scores, strict=True)
    ]


SUITE = Suite("bits-per-byte", "bits per byte of held-out texts, by language", _tasks)
