"""Whatever the packing, the same documents come out; what is no document is counted with its place."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bise.corpus.document import Document
from bise.corpus.readers import Reading, read_curated, read_source
from bise.corpus.recipe import Source, SourceFile
from bise.errors import InputError, NotFoundError
from bise.runs import RunDirectory

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


def source(path: str, **more: object) -> Source:
    return Source("stories", "CC0 1.0", (SourceFile(path),), **more)  # type: ignore[arg-type]


def read(path: Path, **more: object) -> tuple[list[Document], Reading]:
    reading = Reading()
    return list(read_source(source(path.name, **more), path.parent, reading)), reading


@pytest.mark.parametrize("suffix", PACKERS)
def test_every_packing_gives_the_same_documents(tmp_path: Path, suffix: str) -> None:
    lines = [{"id": f"s/{i}", "text": f"Été {i}", "lang": "fr", "title": "T", "year": 3} for i in range(5000)]
    plain = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path = tmp_path / f"stories.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](plain[:1000]) + PACKERS[suffix](plain[1000:]))  # two members, as `cat` makes them
    documents, reading = read(path)
    assert documents == [
        Document(f"s/{i}", f"Été {i}", "stories", "CC0 1.0", "fr", {"title": "T"}) for i in range(5000)
    ]
    assert (reading.num_records, reading.bad_records) == (5000, [])


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_file_cut_short_is_counted_and_named(tmp_path: Path, suffix: str) -> None:
    packed = PACKERS[suffix](b"".join(b'{"text": "%d"}\n' % (i * i) for i in range(5000)))
    path = tmp_path / f"stories.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    documents, reading = read(path)
    assert [document.text for document in documents] == [str(i * i) for i in range(len(documents))]
    assert (reading.num_bad, reading.cut_short) == (1, [path.name])
    assert reading.bad_records[0].number == len(documents) + 1
    assert "could not be read to its end" in str(reading.bad_records[0])


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_file_that_is_not_what_its_name_says_is_counted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"stories.jsonl{suffix}"
    path.write_bytes(b'{"text": "plain"}\n')
    documents, reading = read(path)
    assert (documents, reading.num_bad, reading.cut_short) == ([], 1, [path.name])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'["text"]', "a JSON list, not an object"),
        (b'{"body": "a"}', "no text in the field 'text'; fields: body"),
        (b'{"text": null}', "no text in the field 'text'"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a", "title": "\\udfff"}', "surrogate"),
        (b'{"text": "a", "lang": 1}', "'lang' is 1"),
        (b'{"text": "a", "id": [1]}', "the id is [1]"),
        (b'{"text": "a", "id": "first"}', "'first' was seen before"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "a conversation"),
        (b"[" * 100_000, "not JSON"),
        (b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_malformed_line_is_counted_with_its_place(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "stories.jsonl"
    path.write_bytes(b'{"text": "one", "id": "first"}\n\n' + line + b'\n{"text": "two"}')
    documents, reading = read(path)
    assert [document.text for document in documents] == ["one", "two"]
    assert documents[1].id == "stories/stories.jsonl#4"
    assert reading.num_records == 3
    [bad] = reading.bad_records
    assert (bad.file, bad.number) == ("stories.jsonl", 3)
    assert why in bad.why


def test_a_text_is_cleaned_only_as_its_source_asks(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    text = "---\ntitle: a\n---\nA <b>bold</b> [word](https://example.org)."
    path.write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    assert read(path)[0][0].text == text
    assert read(path, clean=("front_matter", "html"))[0][0].text == "A bold [word](https://example.org)."


def test_fields_and_language_follow_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    path.write_text('{"body": "a", "language": "it"}\n{"body": "b"}\n', encoding="utf-8")
    documents, _ = read(path, text_field="body", lang_field="language", lang="de")
    assert [(document.text, document.lang) for document in documents] == [("a", "it"), ("b", "de")]


def test_an_absent_source_says_how_to_get_it(tmp_path: Path) -> None:
    absent = source("stories.jsonl", repository="https://example.org/r", commit="abc", preparation="as it is")
    with pytest.raises(NotFoundError) as error:
        list(read_source(absent, tmp_path, Reading()))
    for words in ("stories", str(tmp_path), "--set sources.root=DIR", "https://example.org/r", "abc", "as it is"):
        assert words in str(error.value)


def test_a_glob_reads_its_matches_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}) + "\n", encoding="utf-8")
    assert [d.text for d in read_source(source("*.jsonl"), tmp_path, Reading())] == ["a", "b"]
    with pytest.raises(NotFoundError):
        list(read_source(source("*.txt"), tmp_path, Reading()))


def test_only_a_finished_curate_run_is_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run at"):
        list(read_curated(tmp_path / "curate" / "a"))
    RunDirectory(tmp_path, "train", "a").finish({}, [], {})
    with pytest.raises(InputError, match="holds a train run"):
        list(read_curated(tmp_path / "train" / "a"))
