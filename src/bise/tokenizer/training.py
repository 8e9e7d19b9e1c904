"""Train a byte-level BPE vocabulary on a balanced sample of a corpus.

Sennrich et al. 2016 (BPE), Radford et al. 2019 (over bytes). The `tokenizers` library finds the merges; the order in
which it finds them is the rank by which a tekken file merges, and both ways of merging give the same ids.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bise.corpus.document import Document
from bise.errors import InputError
from bise.runs import Manifest, RunDirectory, run_input
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.letters import as_bytes, byte_of_letter
from bise.tokenizer.tekken import CONTROL_TOKENS, FILE_NAME, FIM_MARKER, PATTERN, write_tekken

MAX_TOKEN_BYTES = 24  # longer than almost every word; keeps rulers of dashes out of the vocabulary
_SMALLEST_VOCABULARY = len(CONTROL_TOKENS) + 256 + 1
_MEASURED_BYTES = 200_000  # UTF-8 bytes of each language that bytes per token are counted on


@dataclass(frozen=True)
class TokenizerRecipe:
    """What `bise tokenizer train` reads from its recipe."""

    name: str  # of the run
    corpus: Path  # directory of a finished curate run
    root: Path = Path("runs")  # where runs live
    vocab_size: int = 8192  # entries, control tokens included; at least 289
    max_bytes: int = 50_000_000  # UTF-8 bytes of text to learn from, shared evenly between the languages

    def __post_init__(self) -> None:
        """Refuse sizes that cannot hold the bytes and control tokens."""
        if self.vocab_size < _SMALLEST_VOCABULARY:
            raise ValueError(f"vocab_size is {self.vocab_size}, but must be at least {_SMALLEST_VOCABULARY}.")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}, but must be at least 1.")


def train_tokenizer(
    recipe: TokenizerRecipe,
    read_corpus: Callable[[], Iterable[Document]],
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Train a vocabulary as a run whose directory holds tekken.json and the manifest.

    Args:
        recipe: names the run and sizes the vocabulary.
        read_corpus: gives the documents of `recipe.corpus` from the start; called three times.
        progress: called with the UTF-8 bytes learned from so far and in all.

    Raises:
        InputError: the corpus is empty, too small for the vocabulary, or the run exists.
        NotFoundError: the corpus is not a finished run.
    """
    parent = run_input(recipe.corpus)
    run = RunDirectory(recipe.root, "tokenizer", recipe.name)
    sizes = language_sizes(read_corpus())
    shares = sampling_shares(sizes, recipe.max_bytes)
    num_bytes = round(sum(shares[lang] * size for lang, size in sizes.items()))
    tokens = train_vocabulary(_tracked(sample(read_corpus(), shares), num_bytes, progress), recipe.vocab_size)
    write_tekken(tokens, run.path / FILE_NAME)
    tokenizer = ChatTokenizer.load(run.path)
    facts = {
        "vocab_size": tokenizer.vocab_size,
        "num_control_tokens": tokenizer.num_control_tokens,
        "sampled_bytes": {lang: round(shares[lang] * size) for lang, size in sorted(sizes.items())},
        "bytes_per_token": bytes_per_token(tokenizer, sample(read_corpus(), shares)),
    }
    return run.finish(asdict(recipe), [parent], facts)


def _tracked(
    documents: Iterable[Document], num_bytes: int, progress: Callable[[int, int], None] | None
) -> Iterator[str]:
    done = 0
    for document in documents:
        yield document.text
        done += len(document.text.encode("utf-8"))
        if progress is not None:
            progress(done, max(done, num_bytes))


def train_vocabulary(texts: Iterable[str], vocab_size: int) -> list[bytes]:
    """Learn a vocabulary of `vocab_size` entries, control tokens included; return the others in order of rank.

    The same texts in the same order give the same vocabulary.

    Raises:
        InputError: there is too little text for so many entries.
    """
    num_tokens = vocab_size - len(CONTROL_TOKENS)
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [left + right for left, right in learn_merges(texts, num_tokens)]
    if len(tokens) < num_tokens:
        raise InputError(
            f"The text gives only {len(tokens) + len(CONTROL_TOKENS)} entries, but the vocabulary shall have "
            f"{vocab_size}. Give more text or set vocab_size lower."
        )
    return tokens


def learn_merges(texts: Iterable[str], num_tokens: int) -> list[tuple[bytes, bytes]]:
    """Find up to `num_tokens` - 256 merges, the most frequent pair first; one of them is for the FIM marker."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    model = Tokenizer(BPE())
    model.pre_tokenizer = byte_level_pieces()
    trainer = BpeTrainer(
        vocab_size=num_tokens,
        initial_alphabet=sorted(byte_of_letter()),
        min_frequency=2,  # a pair seen once is chance
        max_token_length=MAX_TOKEN_BYTES,
        show_progress=False,
    )
    # Without the marker no token can hold the whole of it.
    model.train_from_iterator((text.replace(FIM_MARKER, " ") for text in texts), trainer)
    pairs = json.loads(model.to_str())["model"]["merges"]
    return _with_fim_marker([(as_bytes(left), as_bytes(right)) for left, right in pairs])


def byte_level_pieces() -> Any:
    """The cutting of text into pieces as the `tokenizers` library does it: same pattern, bytes as letters."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    return Sequence([Split(Regex(PATTERN), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def language_sizes(documents: Iterable[Document]) -> dict[str, int]:
    """UTF-8 bytes of text in each language."""
    sizes: Counter[str] = Counter()
    for document in documents:
        sizes[document.lang] += len(document.text.encode("utf-8"))
    return dict(sizes)


def sampling_shares(sizes: Mapping[str, int], max_bytes: int) -> dict[str, float]:
    """For each language, the share of its text to learn from.

    Every language gives the same number of bytes; what a small one has not, the others give. A vocabulary learned from
    the raw mixture would spend its entries on the largest language.
    """
    shares: dict[str, float] = {}
    bytes_left, languages_left = max_bytes, len(sizes)
    for lang, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        quota = min(size, bytes_left // languages_left)
        shares[lang] = quota / size if size else 0.0
        bytes_left, languages_left = bytes_left - quota, languages_left - 1
    return shares


def sample(documents: Iterable[Document], shares: Mapping[str, float]) -> Iterator[Document]:
    """Keep of each language its share of documents, chosen by the hash of their ids: stable and spread over sources."""
    for document in documents:
        digest = blake2b(document.id.encode("utf-8"), digest_size=8).digest()
        if int.from_bytes(digest, "big") < shares[document.lang] * 2**64:
            yield document


def bytes_per_token(tokenizer: ChatTokenizer, documents: Iterable[Document]) -> dict[str, float]:
    """UTF-8 bytes per token for each language, on the first documents of each."""
    num_bytes: Counter[str] = Counter()
    num_tokens: Counter[str] = Counter()
    for document in documents:
        if num_bytes[document.lang] < _MEASURED_BYTES:
            num_bytes[document.lang] += len(document.text.encode("utf-8"))
            num_tokens[document.lang] += len(tokenizer.encode(document.text))
    return {lang: round(num_bytes[lang] / num_tokens[lang], 3) for lang in sorted(num_tokens) if num_tokens[lang]}


def _with_fim_marker(merges: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Let the marker's three bytes merge to two tokens, at the price of the last merge."""
    first, second, third = (bytes([byte]) for byte in FIM_MARKER.encode("utf-8"))
    if (first, second) in merges or (second, third) in merges:
        return merges
    return [*merges[:-1], (first, second)]
