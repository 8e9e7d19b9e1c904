"""datatrove and Bise in one process, in turns: run by `curation_vs_datatrove.py` with the peers' Python.

Reads a JSON lines file of {"id", "text"}; prints one line of JSON. Rates are in 10^6 bytes of text a processor second.
"""

import argparse
import json
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bise.corpus.duplicates import BANDS, ROWS, band_keys, find_near_duplicates, shingles, signatures
from bise.corpus.rules import BOUNDS, Family, Rules, judge
from bise.corpus.statistics import measure
from bise.corpus.texts import from_arrow, pack
from bise.memory import keep_freed_memory
from tests.corpus.slow_statistics import count_sentences, tokenise

# datatrove's reasons, by the rules that they stand for here.
REASONS = {
    "gopher_short_doc": "min_words",
    "gopher_long_doc": "max_words",
    "gopher_below_avg_threshold": "min_mean_word_length",
    "gopher_above_avg_threshold": "max_mean_word_length",
    "gopher_too_many_hashes": "max_hashes_per_word",
    "gopher_too_many_ellipsis": "max_ellipses_per_word",
    "gopher_too_many_bullets": "max_bullet_lines",
    "gopher_too_many_end_ellipsis": "max_ellipsis_lines",
    "gopher_below_alpha_threshold": "min_alpha_words",
    "gopher_enough_stop_words": "min_stop_words",
    "dup_para_frac": "max_duplicate_paragraphs",
    "dup_para_char_frac": "max_duplicate_paragraph_characters",
    "dup_line_frac": "max_duplicate_lines",
    "dup_line_char_frac": "max_duplicate_line_characters",
    **{f"top_{n}_gram": f"max_top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"max_duplicate_{n}_grams" for n in range(5, 11)},
    "lorem_ipsum": "max_lorem_ipsum_lines",
    "curly_bracket": "max_curly_bracket_lines",
    "too_few_sentences": "min_sentences",
    "line_punct_ratio": "min_punctuated_lines",
    "short_line_ratio": "max_short_lines",
    "char_dup_ratio": "max_repeated_line_characters",
    "list_ratio": "max_newlines_per_word",
}
FAMILIES: tuple[Family, ...] = ("gopher_repetition", "gopher_quality", "c4", "fineweb")

COMPARED, LONG_CHARACTERS = 500, 15_000  # documents whose decisions are compared: in plain Python, so not the longest


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path)
    parser.add_argument("--parts", nargs="+", default=["filters", "near"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ours-filter-mb", type=float, default=60.0, help="of the text, for our filters")
    parser.add_argument("--filter-mb", type=float, default=0.4, help="of the text, for datatrove's filters")
    parser.add_argument("--near-mb", type=float, default=2.4, help="likewise, for its near copies")
    options = parser.parse_args()
    from loguru import logger

    logger.remove()
    keep_freed_memory()  # as a curation run does; for both sides
    logging.disable(logging.WARNING)
    texts = [json.loads(line)["text"] for line in options.texts.open(encoding="utf-8")]
    some = first_bytes(texts, options.ours_filter_mb)
    figures: dict[str, Any] = {}
    if "filters" in options.parts:
        figures |= compare_filters(some, first_bytes(texts, options.filter_mb), options.runs)
    if "agreement" in options.parts:
        figures |= compare_decisions([text for text in texts if len(text) < LONG_CHARACTERS][:COMPARED])
    if "near" in options.parts:
        figures |= compare_near_duplicates(options.texts, options.near_mb, options.runs)
    print(json.dumps(figures))


def first_bytes(texts: Sequence[str], megabytes: float) -> list[str]:
    """The first texts, about so many 10^6 bytes of them."""
    taken, size = [], 0
    for text in texts:
        if size >= megabytes * 1e6:
            break
        taken.append(text)
        size += len(text.encode("utf-8"))
    return taken


def filters(language: Any) -> list[Any]:
    """datatrove's filters with the settings of FineWeb."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return [
        GopherRepetitionFilter(language=language),
        GopherQualityFilter(language=language),
        C4QualityFilter(filter_no_terminal_punct=False, language=language),
        FineWebQualityFilter(language=language),
    ]


def compare_filters(texts: list[str], sample: list[str], runs: int) -> dict[str, Any]:
    """datatrove's chain, each filter seeing what the one before kept, and all our statistics and decisions."""
    from datatrove.data import Document
    from datatrove.utils import text as datatrove_text
    from datatrove.utils.typeshelper import Languages

    chain = filters(Languages.english)
    data, offsets = pack(texts)
    langs = ["en"] * len(texts)

    def theirs() -> None:
        datatrove_text.split_into_parts.cache_clear()
        for text in sample:
            document = Document(text=text, id="0")
            all(one.filter(document) is True for one in chain)

    def ours() -> None:
        judge(measure(data, offsets, langs), langs, Rules(families=FAMILIES))

    sizes = megabytes(texts), megabytes(sample)
    return in_turns("filters", ours, theirs, sizes, runs)


def compare_decisions(texts: list[str]) -> dict[str, Any]:
    """Whether each filter decides as the rules do, for the same first reason, over the same tokens and sentences."""
    from datatrove.data import Document
    from datatrove.utils.word_tokenizers import WordTokenizer

    class OurTokens(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return tokenise(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text] * count_sentences(text)

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))] * count_sentences(text)

    statistics_of_texts = measure(*pack(texts))
    langs = ["en"] * len(texts)
    same, dropped, different = 0, 0, []
    for family, one in zip(FAMILIES, filters(OurTokens()), strict=True):
        decisions = judge(statistics_of_texts, langs, Rules(families=(family,)))
        for row, text in enumerate(texts):
            answer = one.filter(Document(text=text, id="0"))
            reason = "" if answer is True else REASONS.get(answer[1], answer[1])
            drop = decisions.drop(row)
            ours = drop.reason if drop else ""
            same += ours == reason
            dropped += reason != ""
            if ours != reason:
                different.append(f"{ours} / {reason}")
    total = len(texts) * len(FAMILIES)
    assert {bound.rule for bound in BOUNDS} >= set(REASONS.values())
    return {
        "filters_agreement": round(same / total, 5),
        "filters_decisions": total,
        "filters_dropped": dropped,
        "filters_different": different[:10],  # our reason / theirs
    }


def compare_near_duplicates(path: Path, sample_mb: float, runs: int) -> dict[str, Any]:
    """JSON lines to JSON lines without near copies: datatrove's four stages, and ours with exact comparison."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        lines = path.read_bytes().splitlines(keepends=True)
        count = len(first_bytes([json.loads(line)["text"] for line in lines], sample_mb))
        (folder / "in").mkdir()
        sample = folder / "in" / "sample.jsonl"
        sample.write_bytes(b"".join(lines[:count]))
        texts = [json.loads(line)["text"] for line in lines]
        figures = in_turns(
            "near_duplicates",
            lambda: our_near_duplicates(path, folder / "ours.jsonl"),
            lambda: their_near_duplicates(folder),
            (megabytes(texts), megabytes(texts[:count])),
            runs,
        )
        kept = sum(1 for _ in (folder / "ours.jsonl").open("rb"))
    return figures | {"near_duplicates_kept": kept, "near_duplicates_read": len(texts)}


def our_near_duplicates(source: Path, target: Path) -> None:
    """Read with Arrow, sign, find, and write the lines that stay."""
    import pyarrow as pa
    import pyarrow.json as pj

    content = source.read_bytes()
    options = pj.ReadOptions(use_threads=False, block_size=1 << 24)
    data, offsets = from_arrow(pj.read_json(pa.BufferReader(content), options).column("text"))

    def read(rows: Any) -> Any:
        return shingles(*pack([data[offsets[row] : offsets[row + 1]].tobytes().decode("utf-8") for row in rows]))

    removed = find_near_duplicates(band_keys(signatures(data, offsets)), read).removed.tolist()
    lines, start = memoryview(content), 0
    with target.open("wb") as file:
        for is_removed in removed:
            stop = content.index(b"\n", start) + 1
            if not is_removed:
                file.write(lines[start:stop])
            start = stop


def their_near_duplicates(folder: Path) -> None:
    """Word 5-grams and bands as ours, in one process. Of its hashes none is quicker than the default, 64-bit xxhash."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(
        hash_config=HashConfig(hash_fc="xxhash", precision=64), num_buckets=BANDS, hashes_per_bucket=ROWS, n_grams=5
    )
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    signed, buckets, removed = str(work / "signatures"), str(work / "buckets"), str(work / "removed")
    reader = JsonlReader(str(folder / "in"))
    writer = JsonlWriter(str(work / "out"), compression=None)
    stages = [
        [reader, MinhashDedupSignature(output_folder=signed, config=config, language="eng")],
        [MinhashDedupBuckets(input_folder=signed, output_folder=buckets, config=config)],
        [MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=config)],
        [reader, MinhashDedupFilter(input_folder=removed), writer],
    ]
    for number, stage in enumerate(stages):
        tasks = BANDS if number == 1 else 1
        logs = str(work / f"logs{number}")
        LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=logs, skip_completed=False).run()


def in_turns(
    name: str, ours: Callable[[], None], theirs: Callable[[], None], sizes: tuple[float, float], runs: int
) -> dict[str, Any]:
    """Rates of both, one after the other several times, after one run of each to compile and load."""
    ours()
    theirs()
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    named_sizes = list(zip(rates, sizes, strict=True))
    for _ in range(runs):
        for (side, size), function in zip(named_sizes, (ours, theirs), strict=True):
            began = time.process_time()
            function()
            rates[side].append(size / (time.process_time() - began))
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    return {
        f"{name}_ratio": round(statistics.median(ratios), 1),
        f"{name}_ratio_spread": [round(min(ratios), 1), round(max(ratios), 1)],
        f"{name}_mb_per_cpu_s": round(statistics.median(rates["ours"]), 2),
        f"{name}_datatrove_mb_per_cpu_s": round(statistics.median(rates["theirs"]), 3),
        f"{name}_mb": [round(size, 2) for size in sizes],
        f"{name}_cpu_s_a_turn": [round(size / statistics.median(rates[side]), 2) for side, size in named_sizes],
    }


def megabytes(texts: Sequence[str]) -> float:
    """10^6 bytes of UTF-8."""
    return sum(len(text.encode("utf-8")) for text in texts) / 1e6


if __name__ == "__main__":
    main()
