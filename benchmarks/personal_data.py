"""How well personal data is found: precision and recall by kind on labelled sentences, and how fast it is masked.

    python -m benchmarks.personal_data ../shared/data/dirty/presidio-pii/*.jsonl.xz \\
        --texts ../shared/data/pretrain/datenanfragen/*.jsonl.xz

Each line of the files is {"full_text", "spans": [{"entity_type", "start_position", "end_position"}]}, as Presidio's
synthetic sentences are. A piece counts as found when a span of its kind overlaps it, as exact when the borders agree. The
sentences were looked at while the rules were written, so the figures say what the rules can do, not what others will see.
"""

import argparse
import json
import lzma
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bise.corpus.personal import KINDS, PersonalData

KIND_OF = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "IBAN_CODE": "iban",
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
}


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--texts", nargs="*", type=Path, help="JSON lines with ordinary text, to measure speed on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(list(read_lines(options.files)))
    if options.texts:
        figures["mb_per_cpu_s"] = megabytes_per_second([record["text"] for record in read_lines(options.texts)])
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:16} {value}")


def measure(records: list[dict[str, Any]]) -> dict[str, object]:
    """Precision, recall and exact borders by kind."""
    personal_data = PersonalData(addresses="all")
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for record in records:
        gold = {
            (span["start_position"], span["end_position"], KIND_OF[span["entity_type"]])
            for span in record["spans"]
            if span["entity_type"] in KIND_OF
        }
        found: set[tuple[int, int, str]] = set(personal_data.find(str(record["full_text"])))
        for start, stop, kind in found:
            hit = any(kind == other and start < end and begin < stop for begin, end, other in gold)
            counts[kind]["true" if hit else "false"] += 1
            counts[kind]["exact"] += (start, stop, kind) in gold
        for begin, end, kind in gold:
            counts[kind]["gold"] += 1
            counts[kind]["met"] += any(kind == k and start < end and begin < stop for start, stop, k in found)
    return {
        kind: {
            "precision": round(count["true"] / max(1, count["true"] + count["false"]), 3),
            "recall": round(count["met"] / max(1, count["gold"]), 3),
            "exact": round(count["exact"] / max(1, count["gold"]), 3),
            "labelled": count["gold"],
        }
        for kind, count in counts.items()
    }


def megabytes_per_second(texts: list[str]) -> float:
    """MB of UTF-8 masked a processor second."""
    personal_data, began = PersonalData(), time.thread_time()
    for text in texts:
        personal_data.mask(text)
    return round(sum(len(text.encode()) for text in texts) / 1e6 / (time.thread_time() - began), 1)


def read_lines(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Records of packed JSON lines."""
    for path in paths:
        with lzma.open(path) as lines:
            yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
