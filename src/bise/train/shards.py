"""A curated corpus as token shards, split once into what is trained on and what is held out.

Shards depend on the corpus, the tokenizer and the split only, so runs that agree on these share them: they lie beside
the runs in `<root>/shards/<key>/`, the held-out documents of each language apart.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bise.corpus.document import Document
from bise.corpus.readers import read_curated
from bise.errors import InputError
from bise.runs import MANIFEST, read_manifest, sha256_file, write_atomically
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import Shards, open_shards, write_shards
from bise.train.report import Reporter

_DONE = "done"
_UNKNOWN_LANGUAGE = "und"  # ISO 639-3's code for it


@dataclass(frozen=True)
class Split:
    """Which documents a run reads, and how often."""

    held_out_fraction: float
    repeats: Mapping[str, float]  # times that a source is read in an epoch, 1 unless named

    def is_held_out(self, document: Document) -> bool:
        """Whether a document is kept from training: decided by its id alone, so that it holds for every run."""
        return _share(document.id, "held out") < self.held_out_fraction

    def num_copies(self, document: Document) -> int:
        """How often a document is read in an epoch; 2.5 means twice, and half of the documents once more."""
        repeats = self.repeats.get(document.source, 1.0)
        return int(repeats) + (_share(document.id, "repeated") < repeats % 1)


def _share(document_id: str, purpose: str) -> float:
    """A number in 0..1 that looks random and is always the same."""
    digest = hashlib.sha256(f"{purpose} {document_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def prepare_shards(
    corpus: Path, tokenizer: ChatTokenizer, split: Split, root: Path, reporter: Reporter
) -> tuple[Shards, dict[str, Shards]]:
    """Open the shards of a corpus, writing them first if nobody has.

    Returns:
        The training shards, and the held-out shards of each language.

    Raises:
        InputError: the split names an unknown source, leaves nothing to train on or nothing held out.
    """
    _check_sources(corpus, split)
    directory, key = _place(corpus, tokenizer, split, root)
    if not (directory / _DONE).exists():
        _write(corpus, tokenizer, split, directory, reporter)
        write_atomically(directory / _DONE, key + "\n")
    return open_shards(directory / "train"), _open_held_out(directory)


def held_out_shards(corpus: Path, tokenizer: ChatTokenizer, split: Split, root: Path) -> dict[str, Shards]:
    """The held-out shards of each language that a run wrote, or nothing when they are gone."""
    if not (corpus / MANIFEST).exists():
        return {}
    directory, _ = _place(corpus, tokenizer, split, root)
    return _open_held_out(directory) if (directory / _DONE).exists() else {}


def _place(corpus: Path, tokenizer: ChatTokenizer, split: Split, root: Path) -> tuple[Path, str]:
    """Where the shards lie, and what they depend on."""
    key = json.dumps(
        [sha256_file(corpus / MANIFEST), tokenizer.sha256, split.held_out_fraction, sorted(split.repeats.items())]
    )
    return root / "shards" / hashlib.sha256(key.encode()).hexdigest()[:16], key


def _open_held_out(directory: Path) -> dict[str, Shards]:
    return {path.name: open_shards(path) for path in sorted((directory / "held_out").iterdir())}


def _check_sources(corpus: Path, split: Split) -> None:
    sources = read_manifest(corpus).facts.get("sources")
    known = sorted(sources) if isinstance(sources, dict) else []
    unknown = sorted(set(split.repeats) - set(known))
    if unknown:
        raise InputError(f"repeats names {', '.join(unknown)}, but the sources of {corpus} are {', '.join(known)}.")


def _write(corpus: Path, tokenizer: ChatTokenizer, split: Split, directory: Path, reporter: Reporter) -> None:
    held_out: dict[str, list[Document]] = {}
    total_documents = _num_documents(corpus)

    def training_documents() -> Iterator[Document]:
        for done, document in enumerate(read_curated(corpus), start=1):
            reporter.advance("Tokenising", done, max(done, total_documents))
            if split.is_held_out(document):
                held_out.setdefault(document.lang or _UNKNOWN_LANGUAGE, []).append(document)
            else:
                yield from itertools.repeat(document, split.num_copies(document))

    write_shards(training_documents(), tokenizer, directory / "train")
    if not held_out:
        raise InputError(
            f"No document of {corpus} is held out at held_out_fraction = {split.held_out_fraction}. "
            "Set a larger fraction or curate more documents."
        )
    for lang, documents in held_out.items():
        write_shards(documents, tokenizer, directory / "held_out" / lang)


def _num_documents(corpus: Path) -> int:
    kept = read_manifest(corpus).facts.get("kept")
    return kept if isinstance(kept, int) else 0
