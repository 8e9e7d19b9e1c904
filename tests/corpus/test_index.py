"""The index finds what a search through all texts finds, for any cut into shards; its bytes depend on the documents alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.document import Document
from bise.corpus.index import Asked, CorpusIndex, ask, noted_index, open_index, shard_file
from bise.corpus.indexing import index_corpus
from bise.corpus.sorting import sorted_starts, word_bounds
from bise.errors import BiseError, InputError
from bise.runs import RunDirectory, run_input

WORDS = st.sampled_from(
    ["a", "b", "ab", "Straße", "internationalA", "internationalB", "international", ".", "«", "日本"]
)
SPACES = st.sampled_from([" ", "\n", "  ", "\u00a0", ""])
TEXTS = st.lists(st.tuples(WORDS, SPACES), max_size=25).map(lambda parts: "".join(w + s for w, s in parts))
CORPORA = st.lists(TEXTS, min_size=1, max_size=8).filter(lambda texts: any(text.strip() for text in texts))


def words_of(text: str) -> list[str]:
    asked = ask(text)
    return [asked.text(k, k + 1) for k in range(len(asked.bounds))]


def indexed(root: Path, texts: Sequence[str], name: str = "one", **options: int) -> Path:
    """The directory of the index of a corpus that holds these texts."""
    run = RunDirectory(root, "curate", name)
    run.finish({}, [], {"kept_bytes": sum(len(text.encode()) for text in texts)})
    documents = (
        Document(f"d{number}", text, f"s{number % 2}", f"licence {number % 2}", "en", {"title": text[:6]})
        for number, text in enumerate(texts)
    )
    index_corpus(run.path, documents, **options)
    return root / "index" / name


def occurrences(documents: Sequence[list[str]], wanted: list[str]) -> int:
    """How often words stand together, by looking at every place."""
    size = len(wanted)
    return sum(words[k : k + size] == wanted for words in documents for k in range(len(words) - size + 1))


def longest_by_search(documents: Sequence[list[str]], asked: list[str], first: int) -> int:
    sizes = range(len(asked) - first, 0, -1)
    return next((size for size in sizes if occurrences(documents, asked[first : first + size])), 0)


def check_against_search(index: CorpusIndex, texts: Sequence[str], asked: Asked) -> None:
    documents = [words_of(text) for text in texts]
    words = [asked.text(k, k + 1) for k in range(len(asked.bounds))]
    longest = index.longest(asked)
    assert longest.tolist() == [longest_by_search(documents, words, first) for first in range(len(words))]
    for least in (2, 3, 8):
        assert np.array_equal(_at_least(longest, least), _at_least(index.longest(asked, least), least))
    for first, size in enumerate(longest.tolist()):
        for stop in range(first + 1, first + size + 1):
            assert index.count(asked, first, stop) == occurrences(documents, words[first:stop])
        if size:
            holding = {f"d{n}" for n, document in enumerate(documents) if occurrences([document], words[first:][:size])}
            count, places = index.find(asked, first, first + size, 100, 30)
            assert count == index.count(asked, first, first + size)
            assert {place.document for place in places} == holding
            assert all(words_of(place.words) == words[first : first + size] for place in places)


def _at_least(longest: np.ndarray, least: int) -> np.ndarray:
    return np.where(longest < least, 0, longest)


@given(CORPORA)
@settings(max_examples=150, deadline=None)
def test_places_are_sorted_by_the_words_that_follow(texts: list[str]) -> None:
    data = np.frombuffer("\0".join([*texts, ""]).encode(), np.uint8)
    bounds = word_bounds(data)
    words = [bytes(data[begin:end]) for begin, end in bounds]
    places = [k for k, word in enumerate(words) if word != b"\0"]
    assert sorted_starts(data).tolist() == [bounds[k, 0] for k in sorted(places, key=lambda k: words[k:])]


@given(CORPORA, TEXTS, st.sampled_from([1, 40, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_it_finds_what_a_search_through_all_texts_finds(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], question: str, shard_bytes: int
) -> None:
    index = open_index(indexed(tmp_path_factory.mktemp("i"), texts, shard_bytes=shard_bytes))
    for text in (question, texts[-1]):
        check_against_search(index, texts, ask(text))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "manifest.json"}


TALES = [f"Tale {n}. " + " ".join(f"word{(n * k) % 17}" for k in range(60)) for n in range(40)]


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    one = contents(indexed(tmp_path, TALES, shard_bytes=2000, workers=1))
    many = contents(indexed(tmp_path / "b", TALES, shard_bytes=2000, workers=4))
    assert len(one) > 5
    assert one == many


def test_an_interrupted_index_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    directory = indexed(tmp_path, TALES, shard_bytes=2000)
    whole = contents(directory)
    (directory / "manifest.json").unlink()
    (directory / shard_file(1)).write_bytes(whole[shard_file(2)])  # a shard of other documents, one that is cut short
    (directory / shard_file(3)).write_bytes(whole[shard_file(3)][:100])
    (tmp_path / "curate/one/manifest.json").unlink()
    assert contents(indexed(tmp_path, TALES, shard_bytes=2000)) == whole


def test_the_same_corpus_is_indexed_once_and_another_of_its_name_is_refused(tmp_path: Path) -> None:
    directory = indexed(tmp_path, TALES[:3])
    corpus = tmp_path / "curate/one"
    made = (directory / "manifest.json").read_bytes()
    index_corpus(corpus, [])
    assert (directory / "manifest.json").read_bytes() == made
    manifest = corpus / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("kept_bytes", "kept"), encoding="utf-8")
    with pytest.raises(InputError, match="another corpus of that name"):
        index_corpus(corpus, [])


def test_it_is_found_by_the_hash_of_its_corpus(tmp_path: Path) -> None:
    directory = indexed(tmp_path, TALES[:2], "noted")
    sha256 = run_input(tmp_path / "curate/noted").sha256
    assert noted_index(sha256) == directory
    assert noted_index("0" * 64) is None
    (directory / "manifest.json").unlink()
    assert noted_index(sha256) is None


def test_a_document_says_source_licence_and_what_stands_around(tmp_path: Path) -> None:
    text = "Before that, nobody knew. The ferryman sold his boat — at dawn. Afterwards it rained."
    index = open_index(indexed(tmp_path, ["Nothing here.", text]))
    asked = ask("the ferryman: sold his  boat\n— at dawn")
    count, (place,) = index.find(asked, 3, 9, 5, 12)
    assert count == 1
    assert (place.document, place.source, place.licence) == ("d1", "s1", "licence 1")
    assert place.metadata == {"title": "Before"}
    assert (place.before, place.words, place.after) == ("…he ferryman ", "sold his boat — at dawn", ". Afterwards…")


@pytest.mark.parametrize("damage", ["cut", "header", "index", "ends"])
def test_a_damaged_index_is_a_sentence(tmp_path: Path, damage: str) -> None:
    directory = indexed(tmp_path, TALES[:5])
    shard = directory / shard_file(0)
    content = shard.read_bytes()
    if damage == "index":
        (directory / "index.json").write_text("{", encoding="utf-8")
    else:
        changes = {
            "cut": content[:-9],
            "header": content.replace(b'"U32"', b'"U16"'),
            "ends": content.replace(b'"document_ends"', b'"record_ends00"'),
        }
        shard.write_bytes(changes[damage])
    with pytest.raises(BiseError, match="damaged"):
        open_index(directory)


def test_places_beyond_the_text_are_not_read(tmp_path: Path) -> None:
    directory = indexed(tmp_path, TALES[:5])
    shard = open_index(directory).shards[0]
    content = (directory / shard_file(0)).read_bytes()
    starts = shard.starts.tobytes()
    (directory / shard_file(0)).write_bytes(content.replace(starts, b"\xff" * len(starts)))
    asked = ask(TALES[0])
    assert open_index(directory).longest(asked).tolist() == [0] * len(asked.bounds)


def test_nothing_to_index_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no documents"):
        indexed(tmp_path, [])
