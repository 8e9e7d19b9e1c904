"""The same documents come out of every format; damage is counted where it is, and costs nothing beside it."""

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bise.corpus.document import Document
from bise.corpus.formats.files import read_file
from bise.corpus.formats.lines import read_lines
from bise.corpus.formats.record import BadRecord, RawRecord
from bise.corpus.readers import Reading, read_part, read_source, split_file
from bise.corpus.recipe import Source, SourceFile
from bise.errors import InputError

SHARED = Path(__file__).parents[3] / "shared/data/dirty"
TEXTS = [f"Été number {i}. " * 20 for i in range(40)]
SENTENCE = "It is a sentence of the article, long enough to be one of its main ones. "
PAGE = f"<html><head><title>A title</title></head><body><article><p>{SENTENCE * 8}</p></article></body></html>"


def source(path: str, **more: object) -> Source:
    return Source("s", "CC0 1.0", (SourceFile(path),), **more)  # type: ignore[arg-type]


def read(path: Path, **more: object) -> tuple[list[Document], Reading]:
    reading = Reading()
    return list(read_source(source(path.name, **more), path.parent, reading)), reading


def warc_record(kind: str, block: bytes, url: str = "https://example.org/", **headers: str) -> bytes:
    more = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n{more}Content-Length: {len(block)}\r\n\r\n"
    return head.encode() + block + b"\r\n\r\n"


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    headers = {"Content_Type": "text/html", **headers}
    fields = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
    block = f"HTTP/1.1 {status}\r\n{fields}\r\n".encode() + body
    return warc_record("response", block, Content_Type="application/http; msgtype=response")


def wet(texts: Iterable[str]) -> list[bytes]:
    return [warc_record("conversion", text.encode(), Content_Type="text/plain") for text in texts]


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")


def write_gz(path: Path) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()))


def write_xz(path: Path) -> None:
    path.write_bytes(lzma.compress("".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS}), path, row_group_size=10, write_page_checksum=True)


def write_wet(path: Path) -> None:
    path.write_bytes(b"".join(gzip.compress(record) for record in wet(TEXTS)))


def write_plain_wet(path: Path) -> None:
    path.write_bytes(b"".join(wet(TEXTS)))


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.jsonl": write_jsonl,
    "a.jsonl.gz": write_gz,
    "a.jsonl.xz": write_xz,
    "a.parquet": write_parquet,
    "a.warc.wet.gz": write_wet,
    "a.wet": write_plain_wet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_texts_with_stable_ids(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    documents, reading = read(tmp_path / name)
    assert [document.text for document in documents] == TEXTS
    assert len({document.id for document in documents}) == reading.num_records == len(TEXTS)
    assert documents == read(tmp_path / name)[0]
    assert not reading.num_bad


@pytest.mark.parametrize("name", WRITERS)
def test_the_parts_of_a_file_are_the_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    whole, parts, reading = read(tmp_path / name)[0], [], Reading()
    for part in split_file(tmp_path / name, source(name)):
        parts += list(read_part(tmp_path / name, name, source(name), reading, part))
    assert parts == whole


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_counted_and_never_a_traceback(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Change, cut out or add bytes anywhere: what is given was written or is counted, and nothing else is raised."""
    path = tmp_path / name
    WRITERS[name](path)
    stored = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(stored) - 1))
        stop = min(len(stored), start + data.draw(st.integers(0, 40)))
        stored[start:stop] = data.draw(st.binary(max_size=40))
        stored = stored or bytearray(b"x")
    path.write_bytes(stored)
    documents, reading = read(path)
    assert reading.num_records == len(documents) + reading.num_bad + reading.passed_over.total()
    assert all(isinstance(str(bad), str) and bad.file == name for bad in reading.bad_records)
    if name.endswith((".gz", ".xz", ".parquet")) and len(documents) < len(TEXTS):
        assert reading.num_bad or reading.passed_over


def test_damage_in_one_member_of_a_packed_archive_leaves_the_others(tmp_path: Path) -> None:
    members = [gzip.compress(record) for record in wet(TEXTS)]
    broken = bytearray(members[20])
    broken[len(broken) // 2 :] = b"\0" * (len(broken) - len(broken) // 2)
    (tmp_path / "a.wet.gz").write_bytes(b"".join([*members[:20], bytes(broken), *members[21:]]))
    documents, reading = read(tmp_path / "a.wet.gz")
    assert [document.text for document in documents] == TEXTS[:20] + TEXTS[21:]
    [bad] = reading.bad_records
    assert (bad.kind, bad.num_lost) == ("record", 1)
    assert 20 <= bad.number <= 21


def test_a_member_whose_header_swallows_the_archive_is_counted(tmp_path: Path) -> None:
    write_wet(tmp_path / "a.wet.gz")
    stored = (tmp_path / "a.wet.gz").read_bytes()
    (tmp_path / "a.wet.gz").write_bytes(stored[:3] + b"\x04" + stored[4:10] + b"\xff\xff" + stored[10:])
    documents, reading = read(tmp_path / "a.wet.gz")
    assert (documents, reading.num_bad, reading.cut_short) == ([], 1, ["a.wet.gz"])


def test_damage_in_one_row_group_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": TEXTS}),
        path,
        row_group_size=10,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    stored = bytearray(path.read_bytes())
    place = stored.index(TEXTS[15].encode())
    stored[place : place + 4] = b"\0\0\0\0"
    path.write_bytes(stored)
    documents, reading = read(path)
    assert [document.text for document in documents] == TEXTS[:10] + TEXTS[20:]
    [bad] = reading.bad_records
    assert (bad.kind, bad.number, bad.num_lost) == ("row", 11, 10)
    assert reading.num_records == 40


def test_a_wrong_length_costs_one_record_of_an_archive(tmp_path: Path) -> None:
    records = wet(TEXTS[:4])
    records[1] = records[1].replace(b"Content-Length: ", b"Content-Length: 9")
    records[2] = records[2].replace(b"Content-Length: ", b"Content-Length: -")
    (tmp_path / "a.wet").write_bytes(b"".join(records))
    documents, reading = read(tmp_path / "a.wet")
    assert [document.text for document in documents][:1] == TEXTS[:1]
    assert reading.num_bad >= 1


@pytest.mark.parametrize(
    "record",
    [
        response(PAGE.encode()),
        response(gzip.compress(PAGE.encode()), Content_Encoding="gzip"),
        response(PAGE.encode(), Content_Encoding="gzip"),  # unpacked by the crawler, which left the header
        response(zlib.compress(PAGE.encode()), Content_Encoding="deflate"),
        response(brotli.compress(PAGE.encode()), Content_Encoding="br"),
        response(b"5\r\n" + PAGE.encode()[:5] + b"\r\n" + f"{len(PAGE) - 5:x}; a=b\r\n{PAGE[5:]}\r\n0\r\n\r\n".encode(), Transfer_Encoding="chunked"),
        response(PAGE.encode("utf-16-le").join([b"\xff\xfe", b""]), Content_Type="text/html; charset=utf-16"),
        warc_record("resource", PAGE.encode(), Content_Type="text/html"),
    ],
)  # fmt: skip
def test_pages_are_unpacked_from_an_archive(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "a.warc").write_bytes(record)
    [document], reading = read(tmp_path / "a.warc")
    assert document.text.strip() == (SENTENCE * 8).strip()
    assert document.metadata["title"] == "A title"
    assert document.metadata["url"] == "https://example.org/"
    assert not reading.num_bad


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (response(b"5\r\nab"), None),
        (response(b"5\r\nhello\r\n9\r\nab", Transfer_Encoding="chunked"), "break off"),
        (response(gzip.compress(PAGE.encode())[:-9], Content_Encoding="gzip"), "is cut short"),
        (response(b"\x1b\x00", Content_Encoding="zstd"), "'zstd'"),
        (response(b"no brotli at all", Content_Encoding="br"), "is damaged"),
        (response(brotli.compress(PAGE.encode())[:-9], Content_Encoding="br"), "is cut short"),
        (warc_record("response", b"hello", Content_Type="application/http"), "no HTTP status line"),
        (warc_record("conversion", b"\xff", Content_Type="text/plain"), "not UTF-8"),
        (b"WARC/1.0\r\nContent-Length: many\r\n\r\nabc", "Content-Length is 'many'"),
        (b"GARBAGE" * 9, "no WARC header"),
        (warc_record("conversion", b"abc")[:-5], "ends 1 bytes before"),
        (b"WARC/1.0\r\n" + b"A: b\r\n" * 20_000, "header is longer"),
    ],
)
def test_what_an_archive_says_wrongly_is_counted(tmp_path: Path, record: bytes, why: str | None) -> None:
    (tmp_path / "a.warc").write_bytes(record)
    documents, reading = read(tmp_path / "a.warc")
    assert not documents
    if why is None:
        assert reading.passed_over == {"page without a main text": 1}
    else:
        assert why in str(reading.bad_records[0])


def test_records_that_are_no_documents_are_counted_by_reason(tmp_path: Path) -> None:
    records = [
        warc_record("warcinfo", b"software: x"),
        warc_record("request", b"GET /"),
        response(PAGE.encode(), status="404 Not Found"),
        response(b"\x89PNG", Content_Type="image/png"),
        response(PAGE.encode()),
    ]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(gzip.compress(record) for record in records))
    documents, reading = read(tmp_path / "a.warc.gz")
    assert len(documents) == 1
    assert reading.num_records == 5
    assert reading.passed_over.total() == 4
    assert reading.passed_over["response with a status other than 200"] == 1


def test_a_folder_of_texts_is_read_in_order(tmp_path: Path) -> None:
    for name, text in {"b/two.md": "# Two", "a.txt": "\ufeffOne", "c.txt": "Three"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "d.txt").write_bytes(b"abc\xe9")
    reading = Reading()
    documents = list(read_source(source("**/*"), tmp_path, reading))
    assert [(d.id, d.text) for d in documents] == [
        ("s/a.txt#1", "One"),
        ("s/b/two.md#1", "# Two"),
        ("s/c.txt#1", "Three"),
    ]
    assert [str(bad) for bad in reading.bad_records] == ["d.txt: not UTF-8 at byte 3"]


def test_a_name_that_says_no_format_needs_one_in_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="does not say its format"):
        read(tmp_path / "a.dump")
    assert len(read(tmp_path / "a.dump", format="jsonl")[0]) == 1


def test_pages_in_json_lines_and_the_fields_of_the_recipe(tmp_path: Path) -> None:
    line = {"key": 7, "page": PAGE, "link": "https://example.org/a", "charset": "x"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    more = {"text_field": "page", "id_field": "key", "url_field": "link", "text_is_html": True}
    for engine in ("trafilatura", "resiliparse"):
        [document], _ = read(tmp_path / "a.jsonl", html=engine, **more)
        assert document.id == "7"
        assert document.text.strip() == (SENTENCE * 8).strip()
        assert {"title": "A title", "url": "https://example.org/a"}.items() <= document.metadata.items()


def test_a_record_longer_than_the_limit_is_counted_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one"}\n{"text": "' + b"x" * 5000 + b'"}\n{"text": "three"}\n')
    found = list(read_lines(path, "a.jsonl", limit=1000))
    assert [type(entry) for entry in found] == [RawRecord, BadRecord, RawRecord]
    assert str(found[1]) == "a.jsonl, line 2: longer than 1,000 bytes"
    assert isinstance(read_file(path, "a.txt", "text", is_html=False, limit=1000), BadRecord)


@pytest.mark.parametrize("name", WRITERS)
def test_progress_adds_up_to_the_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    told: list[int] = []
    list(read_source(source(name), tmp_path, Reading(progress=told.append)))
    assert 0 < sum(told) <= (tmp_path / name).stat().st_size


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data package")
def test_a_real_crawl(tmp_path: Path) -> None:
    [page], reading = read(SHARED / "warc/whirlwind.warc.gz")
    assert page.metadata["url"] == "https://an.wikipedia.org/wiki/Escopete"
    assert "estilo romanico" in page.text
    assert (reading.num_records, reading.num_bad) == (4, 0)
    [text], _ = read(SHARED / "warc/whirlwind.warc.wet.gz")
    assert text.metadata["url"] == page.metadata["url"]
    documents, reading = read(SHARED / "warc/whirlwind.warc.wat.gz", format="warc")
    assert (documents, reading.num_bad) == ([], 0)
    assert reading.passed_over.total() == reading.num_records > 0


def test_a_packed_archive_that_expands_without_end_stays_within_the_limit(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(200):
            file.write(bytes(1_000_000))
        file.write(b"\r\n\r\n" + wet(["after"])[0])
    (tmp_path / "a.wet.gz").write_bytes(packed.getvalue())
    documents, reading = read(tmp_path / "a.wet.gz")
    assert [document.text for document in documents] == ["after"]
    assert "longer than" in str(reading.bad_records[0])
