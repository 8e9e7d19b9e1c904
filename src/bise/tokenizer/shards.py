"""Token shards: a corpus as one memory-mapped file of ids, each document BOS + ids + EOS.

`index.json` is written last, by rename: a directory without it is not finished and is refused.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bise.corpus.document import Document
from bise.errors import InputError
from bise.runs import sha256_file, write_atomically
from bise.tokenizer.chat import ChatTokenizer

TOKENS = "tokens.bin"
DOCUMENT_ENDS = "document_ends.npy"
INDEX = "index.json"
_DTYPES = ("uint16", "uint32")


@dataclass(frozen=True)
class Shards:
    """A tokenised corpus, opened without reading it into memory."""

    tokens: np.memmap[Any, np.dtype[Any]]  # [num_tokens], little-endian uint16 or uint32
    document_ends: np.ndarray[Any, np.dtype[np.int64]]  # [num_documents], offset after each document's EOS
    num_bytes: int  # UTF-8 bytes of the text, for bits per byte
    tokenizer_sha256: str


def write_shards(
    documents: Iterable[Document],
    tokenizer: ChatTokenizer,
    directory: Path,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Tokenise documents into a directory.

    Args:
        documents: read once, in order.
        tokenizer: its vocabulary's size decides between 16 and 32 bits a token.
        directory: made when missing; shards already in it are replaced.
        progress: called after each document with the UTF-8 bytes of its text.

    Raises:
        InputError: there are no documents.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / INDEX).unlink(missing_ok=True)
    dtype = np.dtype(_DTYPES[tokenizer.vocab_size > 1 << 16]).newbyteorder("<")
    ends: list[int] = []
    languages: Counter[str] = Counter()
    num_tokens = num_bytes = 0
    with (directory / TOKENS).open("wb") as file:
        for document in documents:
            ids = [tokenizer.bos_id, *tokenizer.encode(document.text), tokenizer.eos_id]
            file.write(np.asarray(ids, dtype=dtype).tobytes())
            num_tokens += len(ids)
            ends.append(num_tokens)
            languages[document.lang] += len(ids)
            size_bytes = len(document.text.encode("utf-8", "surrogatepass"))
            num_bytes += size_bytes
            if progress is not None:
                progress(size_bytes)
    if not ends:
        raise InputError("There are no documents to tokenise. Check the corpus: did curation drop everything?")
    np.save(directory / DOCUMENT_ENDS, np.asarray(ends, dtype=np.int64))
    index = {
        "dtype": dtype.name,
        "num_tokens": num_tokens,
        "num_documents": len(ends),
        "num_bytes": num_bytes,
        "languages": dict(sorted(languages.items())),
        "tokenizer_sha256": tokenizer.sha256,
    }
    write_atomically(directory / INDEX, json.dumps(index, indent=2) + "\n")


def open_shards(directory: Path) -> Shards:
    """Open shards for reading.

    Raises:
        InputError: the directory holds no finished shards, or a file in it is damaged.
    """
    index = _read_index(directory)
    try:
        tokens = np.memmap(directory / TOKENS, dtype=np.dtype(index["dtype"]).newbyteorder("<"), mode="r")
        document_ends = np.load(directory / DOCUMENT_ENDS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The token shards in {directory} are damaged: {error}. Write them again.") from None
    if len(tokens) != index["num_tokens"] or len(document_ends) != index["num_documents"]:
        raise InputError(
            f"The token shards in {directory} are damaged: {INDEX} promises {index['num_tokens']} tokens in "
            f"{index['num_documents']} documents, the files hold {len(tokens)} in {len(document_ends)}. "
            "Write them again."
        )
    return Shards(tokens, document_ends, index["num_bytes"], index["tokenizer_sha256"])


def describe_shards(shards: Shards, root: Path) -> dict[str, object]:
    """What the record of a run says of shards below its root, so that anybody can make them again and compare."""
    path = Path(str(shards.tokens.filename))
    return {
        "path": path.resolve().relative_to(root.resolve()).as_posix(),
        "num_tokens": len(shards.tokens),
        "num_documents": len(shards.document_ends),
        "sha256": sha256_file(path),
    }


def _read_index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX
    if not path.is_file():
        raise InputError(f"There are no finished token shards in {directory}: {INDEX} is missing. Write them again.")
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = index["dtype"] in _DTYPES
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error!r}. Write the shards again.") from None
    if not known:
        raise InputError(f"{path} names the type {index['dtype']!r}, but must name one of {', '.join(_DTYPES)}.")
    return index
