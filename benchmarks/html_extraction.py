"""How well the main text of web pages is drawn out: trafilatura and resiliparse beside hand-made gold text.

    python -m benchmarks.html_extraction ../shared/data/dirty/article-extraction/*.jsonl.xz \\
        ../shared/data/dirty/trafilatura-eval/*.jsonl.xz

Two kinds of gold are known. `gold_text` is the article: F1 of the 4-word sequences that text and gold share, averaged
over pages, as the article extraction benchmark of Scrapinghub does it. `gold_with` and `gold_without` are snippets that
must and must not be in the text: F1 over all snippets, as trafilatura's own evaluation does it.
"""

import argparse
import json
import lzma
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bise.corpus.html import HtmlEngine, PageRefused, extract

ENGINES: tuple[HtmlEngine, ...] = ("trafilatura", "resiliparse")


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pages", type=int, help="take this many pages of each file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pages = [page for path in options.files for page in read_pages(path, options.pages)]
    figures = {engine: measure(pages, engine) for engine in ENGINES}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for engine, values in figures.items():
        print(f"{engine:12}", "  ".join(f"{name} {value}" for name, value in values.items()))


def read_pages(path: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """Pages of packed JSON lines, each with `html` and gold."""
    with lzma.open(path) as lines:
        for number, line in enumerate(lines):
            if number == limit:
                return
            yield json.loads(line)


def measure(pages: list[dict[str, Any]], engine: HtmlEngine) -> dict[str, float | int]:
    """F1 against both kinds of gold, pages refused or without text, and pages a processor second."""
    extract("<p>warm</p>", engine)
    article_f1, snippets, refused, empty = [], Counter[str](), 0, 0
    seconds = 0.0
    for page in pages:
        began = time.thread_time()
        try:
            found = extract(page["html"], engine)
        except PageRefused:
            refused, found = refused + 1, None
        seconds += time.thread_time() - began
        text = found.text if found else ""
        empty += not text
        if "gold_text" in page:
            article_f1.append(sequence_f1(text, page["gold_text"]))
        else:
            snippets.update(met=sum(snippet in text for snippet in page["gold_with"]), wanted=len(page["gold_with"]))
            snippets.update(wrong=sum(snippet in text for snippet in page["gold_without"]))
    figures: dict[str, float | int] = {
        "refused": refused,
        "empty": empty,
        "pages_per_cpu_s": round(len(pages) / seconds, 1),
    }
    if article_f1:
        figures["article_f1"] = round(sum(article_f1) / len(article_f1), 4)
    if snippets:
        figures["snippet_f1"] = round(
            2 * snippets["met"] / (snippets["met"] + snippets["wrong"] + snippets["wanted"]), 4
        )
    return figures


def sequence_f1(text: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the 4-word sequences of a text."""
    ours, theirs = (Counter(zip(*(words[k:] for k in range(4)), strict=False)) for words in map(split, (text, gold)))
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if ours or theirs else 1.0


def split(text: str) -> list[str]:
    """Words, without punctuation."""
    return re.findall(r"\w+", text)


if __name__ == "__main__":
    main()
