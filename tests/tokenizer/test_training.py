"""Training: deterministic, exact in size, and merging by rank is merging as learned."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from bise.corpus.document import Document
from bise.errors import InputError, NotFoundError
from bise.runs import RunDirectory, read_manifest, run_input
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import CONTROL_TOKENS, FIM_MARKER, write_tekken
from bise.tokenizer.training import (
    MAX_TOKEN_BYTES,
    TokenizerRecipe,
    byte_level_pieces,
    language_sizes,
    learn_merges,
    sample,
    sampling_shares,
    train_tokenizer,
    train_vocabulary,
)

Rank = dict[str, int]


@pytest.fixture(scope="module")
def as_learned(texts: list[str], vocab_size: int) -> Tokenizer:
    """The `tokenizers` library's own BPE with the merges it learned, in its letters for bytes."""
    letters = {bytes([byte]): letter for letter, byte in _letters().items()}
    merges = learn_merges(texts, vocab_size - len(CONTROL_TOKENS))
    spelled = [tuple("".join(letters[bytes([b])] for b in part) for part in pair) for pair in merges]
    vocabulary = {letters[bytes([byte])]: byte for byte in range(256)}
    vocabulary |= {left + right: 256 + rank for rank, (left, right) in enumerate(spelled)}
    model = Tokenizer(BPE(vocab=vocabulary, merges=spelled))
    model.pre_tokenizer = byte_level_pieces()
    return model


def _letters() -> Rank:
    """The byte of each of the library's letters, read off its own pre-tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel

    cut = ByteLevel(add_prefix_space=False, use_regex=False)
    seen: Rank = {}
    for point in [*range(0x80), *range(0x80, 0x800), *range(0x800, 0x110000, 0x40)]:
        if 0xD800 <= point < 0xE000:
            continue
        letters = "".join(piece for piece, _ in cut.pre_tokenize_str(chr(point)))
        seen |= dict(zip(letters, chr(point).encode("utf-8"), strict=True))
    spare = [letter for letter in ByteLevel.alphabet() if letter not in seen]
    return seen | dict(zip(sorted(spare), sorted(set(range(256)) - set(seen.values())), strict=True))


def test_ids_by_rank_are_ids_by_learned_merges(tokenizer: ChatTokenizer, as_learned: Tokenizer, text: str) -> None:
    assert [i - len(CONTROL_TOKENS) for i in tokenizer.encode(text)] == as_learned.encode(text).ids


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aelnrtu éü\n.-'☺★🙂 1WÖ"), max_size=60))
def test_ids_by_rank_are_ids_by_learned_merges_on_noise(
    tokenizer: ChatTokenizer, as_learned: Tokenizer, text: str
) -> None:
    assert [i - len(CONTROL_TOKENS) for i in tokenizer.encode(text)] == as_learned.encode(text).ids


def test_the_same_text_gives_the_same_vocabulary(texts: list[str], tokens: list[bytes], vocab_size: int) -> None:
    assert train_vocabulary(iter(texts), vocab_size) == tokens


def test_the_size_is_exact_and_holds_every_byte(tokens: list[bytes], vocab_size: int) -> None:
    assert len(tokens) == len(set(tokens)) == vocab_size - len(CONTROL_TOKENS)
    assert tokens[:256] == [bytes([byte]) for byte in range(256)]
    assert max(map(len, tokens)) <= MAX_TOKEN_BYTES


@pytest.mark.parametrize(
    "text", [f"{FIM_MARKER} " * 50, "no such sign " * 50, "★☆☎ 😺 " * 50, f"20 ºC {FIM_MARKER}C " * 50]
)
def test_the_fim_marker_is_two_tokens_whatever_was_learned(text: str, texts: list[str], tmp_path: Path) -> None:
    write_tekken(train_vocabulary([*texts, text], 500), tmp_path / "tekken.json")
    tokenizer = ChatTokenizer.load(tmp_path)
    assert len(tokenizer.encode(FIM_MARKER)) == 2
    assert tokenizer.encode(FIM_MARKER + "C")[2:] == tokenizer.encode("C")


def test_too_little_text_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"gives only \d+ entries.*shall have 5000"):
        train_vocabulary(["hello hello"], 5000)


def documents(**num_documents: int) -> list[Document]:
    return [
        Document(id=f"{lang}{number}", text="wörd " * 20, source="made", licence="CC0-1.0", lang=lang)
        for lang, count in num_documents.items()
        for number in range(count)
    ]


def test_every_language_gets_the_same_share_of_the_sample() -> None:
    corpus = documents(en=4000, fr=1000, fi=10)
    sizes = language_sizes(corpus)
    shares = sampling_shares(sizes, max_bytes=60_000)
    assert shares["fi"] == 1.0
    assert shares["en"] == pytest.approx(shares["fr"] / 4, rel=0.01)
    kept = list(sample(corpus, shares))
    assert sum(len(d.text.encode()) for d in kept) == pytest.approx(60_000, rel=0.15)
    assert kept == list(sample(corpus, shares))
    assert sampling_shares(sizes, max_bytes=10**9) == {"en": 1.0, "fi": 1.0, "fr": 1.0}


@pytest.fixture
def corpus_run(tmp_path: Path) -> Path:
    run = RunDirectory(tmp_path, "curate", "small")
    run.finish({}, [], {"kept": 3})
    return run.path


def corpus(texts: list[str]) -> list[Document]:
    return [Document(str(n), text, "made", "CC0-1.0", ("en", "fr")[n % 2]) for n, text in enumerate(texts)]


def test_a_run_holds_a_tokenizer_and_says_from_what(corpus_run: Path, tmp_path: Path, texts: list[str]) -> None:
    recipe = TokenizerRecipe(name="small", corpus=corpus_run, root=tmp_path, vocab_size=400)
    told: list[tuple[int, int]] = []
    manifest = train_tokenizer(recipe, lambda: corpus(texts), lambda done, total: told.append((done, total)))
    directory = tmp_path / "tokenizer" / "small"
    assert read_manifest(directory).facts == manifest.facts
    assert ChatTokenizer.load(directory).vocab_size == manifest.facts["vocab_size"] == 400
    assert manifest.inputs == (run_input(corpus_run),)
    assert [output.path for output in manifest.outputs] == ["tekken.json"]
    rates: Any = manifest.facts["bytes_per_token"]
    assert set(rates) == {"en", "fr"}
    assert all(1.0 < rate < 10.0 for rate in rates.values())
    assert told == sorted(told)
    assert told[-1] == (sum(len(text.encode()) for text in texts),) * 2
    with pytest.raises(InputError, match="already holds a finished run"):
        train_tokenizer(recipe, lambda: corpus(texts))


def test_an_unfinished_corpus_or_an_empty_one_is_refused(corpus_run: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run at"):
        train_tokenizer(TokenizerRecipe("x", corpus=tmp_path / "none", root=tmp_path), list)
    with pytest.raises(InputError, match="gives only"):
        train_tokenizer(TokenizerRecipe("x", corpus=corpus_run, root=tmp_path), list)


@pytest.mark.parametrize(("key", "value"), [("vocab_size", 100), ("max_bytes", 0)])
def test_a_recipe_with_an_impossible_size_is_refused(key: str, value: int) -> None:
    with pytest.raises(ValueError, match=key):
        TokenizerRecipe(**{"name": "x", "corpus": Path("x"), key: value})  # type: ignore[arg-type]
