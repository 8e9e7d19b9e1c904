"""A curated corpus as token shards, split once into what is trained on and what is held out.

Shards depend on the corpus, the tokenizer and the split only, so runs that agree on these share them: they lie beside
the runs in `<root>/shards/<key>/`, the held-out documents of each language apart.
"""

import hashlib
from collections.abc import Iterator
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


def is_held_out(document_id: str, fraction: float) -> bool:
    """Whether a document is kept from training: decided by its id alone, so that it holds for every run."""
    digest = hashlib.sha256(document_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def prepare_shards(
    corpus: Path, tokenizer: ChatTokenizer, held_out_fraction: float, root: Path, reporter: Reporter
) -> tuple[Shards, dict[str, Shards]]:
    """Open the shards of a corpus, writing them first if nobody has.

    Returns:
        The training shards, and the held-out shards of each language.

    Raises:
        InputError: the split leaves nothing to train on or nothing held out.
    """
    key_text = f"{sha256_file(corpus / MANIFEST)} {tokenizer.sha256} {held_out_fraction}"
    directory = root / "shards" / hashlib.sha256(key_text.encode()).hexdigest()[:16]
    if not (directory / _DONE).exists():
        _write(corpus, tokenizer, held_out_fraction, directory, reporter)
        write_atomically(directory / _DONE, key_text + "\n")
    held_out = {path.name: open_shards(path) for path in sorted((directory / "held_out").iterdir())}
    return open_shards(directory / "train"), held_out


def _write(corpus: Path, tokenizer: ChatTokenizer, fraction: float, directory: Path, reporter: Reporter) -> None:
    held_out: dict[str, list[Document]] = {}
    total_documents = _num_documents(corpus)

    def training_documents() -> Iterator[Document]:
        for done, document in enumerate(read_curated(corpus), start=1):
            reporter.advance("Tokenising documents", done, max(done, total_documents))
            if is_held_out(document.id, fraction):
                held_out.setdefault(document.lang or _UNKNOWN_LANGUAGE, []).append(document)
            else:
                yield document

    write_shards(training_documents(), tokenizer, directory / "train")
    if not held_out:
        raise InputError(
            f"No document of {corpus} is held out at held_out_fraction = {fraction}. "
            "Set a larger fraction or curate more documents."
        )
    for lang, documents in held_out.items():
        write_shards(documents, tokenizer, directory / "held_out" / lang)


def _num_documents(corpus: Path) -> int:
    kept = read_manifest(corpus).facts.get("kept", 0)
    return kept if isinstance(kept, int) else 0
