"""A curation run: read the sources, drop what the rules refuse, write the rest and every reason.

Reading streams: memory holds one batch, the ids, and the hashes of kept texts. The same recipe over the same files
writes the same bytes. A run that stops early leaves no manifest, and the next one starts over.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from bise.corpus.document import Document
from bise.corpus.readers import Reading, find_files, read_source
from bise.corpus.recipe import CurateRecipe, Source
from bise.corpus.rules import Drop, ExactDuplicates, judge
from bise.errors import InputError
from bise.runs import Input, Manifest, RunDirectory, sha256_file

_BATCH_BYTES = 8 << 20  # of UTF-8 text judged and written at once
_BAD_LINES_SHOWN = 20  # in the manifest; the count is of all
_DOCUMENTS = pa.schema([(name, pa.string()) for name in ("id", "text", "source", "licence", "lang", "metadata")])
_DROPPED = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("lang", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.string()),
    ]
)
Progress = Callable[[int, int], None]  # stored bytes read so far, and in all
Decision = tuple[Document, Drop | None]


@dataclass
class _Tally:
    """Counts of a run in the making."""

    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason) -> documents
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, language) -> documents
    kept_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)  # likewise -> UTF-8 bytes of text

    def add(self, decisions: Iterable[Decision]) -> None:
        for document, drop in decisions:
            if drop:
                self.dropped[document.source, drop.reason] += 1
            else:
                self.kept[document.source, document.lang] += 1
                self.kept_bytes[document.source, document.lang] += _size(document)

    def totals(self, part: Literal[0, 1]) -> dict[str, dict[str, int]]:
        """Kept documents and bytes by source (part 0) or language (part 1)."""
        result: dict[str, dict[str, int]] = {}
        for key in sorted(self.kept):
            entry = result.setdefault(key[part], {"documents": 0, "bytes": 0})
            entry["documents"] += self.kept[key]
            entry["bytes"] += self.kept_bytes[key]
        return result


def curate(recipe: CurateRecipe, progress: Progress | None = None) -> Manifest:
    """Run a recipe to `<root>/curate/<name>/` and return its manifest.

    Raises:
        InputError: a hash differs, a source is damaged or yields nothing, nothing is kept, or the name is taken.
        NotFoundError: a source is absent.
    """
    sources = recipe.sources
    inputs = [entry for source in sources.list for entry in _verify(source, sources.root)]
    run = RunDirectory(recipe.root, "curate", recipe.name)
    _clear(run.path)
    reading = Reading(progress=_meter(recipe, progress) if progress else None)
    tally = _Tally()
    with pq.ParquetWriter(run.path / "dropped.parquet", _DROPPED, compression="zstd") as dropped:
        duplicates = ExactDuplicates()
        for index, source in enumerate(sources.list):
            path = run.path / "documents" / f"{index:03d}-{source.name}.parquet"
            with pq.ParquetWriter(path, _DOCUMENTS, compression="zstd") as kept:
                for decisions in _decisions(source, recipe, reading, duplicates):
                    _write(decisions, kept, dropped)
                    tally.add(decisions)
    facts = _facts(recipe, tally, reading)
    if not tally.kept:
        raise InputError(f"No document was kept. Dropped by reason: {facts['dropped']}. Loosen the recipe's rules.")
    return run.finish(config=asdict(recipe), inputs=inputs, facts=facts)


def _verify(source: Source, root: Path) -> list[Input]:
    """Name every file of a source by its hash, before any work starts."""
    inputs = []
    for path, file in find_files(source, root):
        actual = sha256_file(path)
        if file.sha256 and actual != file.sha256:
            raise InputError(
                f"{path} has sha256 {actual}, but the recipe expects {file.sha256}. "
                "Fetch the version that the recipe names, or correct the recipe if the change is meant."
            )
        inputs.append(Input("file", path.relative_to(root).as_posix(), actual))
    return inputs


def _clear(directory: Path) -> None:
    """Remove what an interrupted run left."""
    (directory / "documents").mkdir(exist_ok=True)
    for path in [*(directory / "documents").glob("*.parquet"), *directory.glob("dropped.parquet")]:
        path.unlink()


def _meter(recipe: CurateRecipe, progress: Progress) -> Callable[[int], None]:
    """Turn bytes read since the last call into bytes so far and in all; a source with max_bytes is read twice."""
    root = recipe.sources.root
    total = sum(
        path.stat().st_size * (1 if source.max_bytes is None else 2)
        for source in recipe.sources.list
        for path, _ in find_files(source, root)
    )
    done = 0

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress(done, total)

    return advance


def _decisions(
    source: Source, recipe: CurateRecipe, reading: Reading, duplicates: ExactDuplicates
) -> Iterator[list[Decision]]:
    """Decide a source batch by batch: first its share of bytes, then the rules, then duplicates among what is left."""
    root = recipe.sources.root
    over = _over_cap(source, recipe, reading) if source.max_bytes else {}
    lines_before, bad_before = reading.num_lines, len(reading.bad_lines)
    for batch in _batches(read_source(source, root, reading)):
        taken = [document for document in batch if document.id not in over]
        by_rule = dict(zip((document.id for document in taken), judge(taken, recipe.rules), strict=True))
        yield [
            (document, over.get(document.id) or by_rule[document.id] or duplicates.judge(document))
            for document in batch
        ]
    _check_yield(source, recipe, reading, reading.num_lines - lines_before, len(reading.bad_lines) - bad_before)


def _over_cap(source: Source, recipe: CurateRecipe, reading: Reading) -> dict[str, Drop]:
    """Which documents do not fit into max_bytes, when they are taken in an order drawn by the seed."""
    assert source.max_bytes is not None
    sizes = [
        (hashlib.blake2b(f"{recipe.seed}/{document.id}".encode(), digest_size=8).digest(), document.id, _size(document))
        for document in read_source(source, recipe.sources.root, Reading(progress=reading.progress))
    ]
    taken = 0
    over: dict[str, Drop] = {}
    for _, document_id, size in sorted(sizes):
        if taken + size > source.max_bytes:
            over[document_id] = Drop("max_bytes", float(taken + size), float(source.max_bytes))
        else:
            taken += size
    return over


def _size(document: Document) -> int:
    return len(document.text.encode("utf-8"))


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Group documents to about `_BATCH_BYTES` of text."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += _size(document)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check_yield(source: Source, recipe: CurateRecipe, reading: Reading, num_lines: int, num_bad: int) -> None:
    """Fail on a source that is empty or too damaged to trust."""
    allowed = recipe.sources.max_bad_lines
    if num_bad > allowed * num_lines:
        examples = "; ".join(str(bad) for bad in reading.bad_lines[-num_bad:][:3])
        raise InputError(
            f"The source {source.name} has {num_bad:,} malformed lines of {num_lines:,} ({examples}), more than the "
            f"share of {allowed} that sources.max_bad_lines allows. Mend the file, or raise the share."
        )
    if num_lines == num_bad:
        raise InputError(f"The source {source.name} holds no documents. Check its files, or take it out of the recipe.")


def _write(decisions: Sequence[Decision], kept: pq.ParquetWriter, dropped: pq.ParquetWriter) -> None:
    documents = [asdict(document) for document, drop in decisions if drop is None]
    for row in documents:
        row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False, sort_keys=True)
    drops = [
        {"id": document.id, "source": document.source, "lang": document.lang, **asdict(drop)}
        for document, drop in decisions
        if drop
    ]
    for rows, schema, writer in ((documents, _DOCUMENTS, kept), (drops, _DROPPED, dropped)):
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _facts(recipe: CurateRecipe, tally: _Tally, reading: Reading) -> dict[str, object]:
    """What the manifest says: counts by reason, language and source, with each source's licence and origin."""
    reasons, by_source, by_language = Counter[str](), tally.totals(0), tally.totals(1)
    for (_, reason), count in tally.dropped.items():
        reasons[reason] += count
    sources = {
        source.name: {
            **by_source.get(source.name, {"documents": 0, "bytes": 0}),
            "dropped": sum(count for (name, _), count in tally.dropped.items() if name == source.name),
            "licence": source.licence,
            "repository": source.repository,
            "commit": source.commit,
        }
        for source in recipe.sources.list
    }
    return {
        "read": tally.kept.total() + tally.dropped.total(),
        "kept": tally.kept.total(),
        "kept_bytes": tally.kept_bytes.total(),
        "dropped": dict(sorted(reasons.items())),
        "bad_lines": len(reading.bad_lines),
        "bad_line_examples": [str(bad) for bad in reading.bad_lines[:_BAD_LINES_SHOWN]],
        "languages": by_language,
        "sources": sources,
    }
