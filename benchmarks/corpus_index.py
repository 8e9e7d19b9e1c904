"""The index over a corpus: how fast it is made, how large it is, and how long an answer of 500 words takes to look up.

The part "index" of `benchmarks/evals.py`. Reading the packed texts is not timed. Kernels are compiled before. The answers are
stitched of passages of 5 to 40 words from all over the corpus: harder than a model's, which seldom repeats any.
"""

import json
import lzma
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bise.corpus.document import Document
from bise.corpus.index import CorpusIndex, open_index
from bise.corpus.indexing import index_corpus
from bise.openness.trace import trace
from bise.runs import RunDirectory

NUM_ANSWERS = 20
ANSWER_WORDS = 500
_WARM_UP = 200  # documents


def measure_index(data: Path) -> dict[str, object]:
    """Index every text of a directory and look answers up in it."""
    documents = list(read_documents(data))
    num_bytes = sum(len(document.text.encode()) for document in documents)
    with tempfile.TemporaryDirectory() as directory:
        _index(Path(directory), "warm", documents[:_WARM_UP])
        wall, processor = time.perf_counter(), time.process_time()
        made = _index(Path(directory), "all", documents)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        index_bytes = sum(file.stat().st_size for file in made.iterdir())
        times = look_up_times(open_index(made), documents)
    return {
        "index_text_mb": round(num_bytes / 1e6, 1),
        "index_documents": len(documents),
        "index_mb_per_s": round(num_bytes / 1e6 / wall, 2),
        "index_mb_per_processor_s": round(num_bytes / 1e6 / processor, 2),
        "index_bytes_per_byte": round(index_bytes / num_bytes, 3),
        "trace_ms": round(statistics.median(times), 1),
        "trace_ms_spread": [round(min(times), 1), round(max(times), 1)],
        "trace_answers": len(times),
    }


def _index(root: Path, name: str, documents: Sequence[Document]) -> Path:
    run = RunDirectory(root, "curate", name)
    run.finish({}, [], {})
    index_corpus(run.path, documents)
    return root / "index" / name


def read_documents(data: Path) -> Iterator[Document]:
    """The texts of JSON lines files, each with the directory it is in as its source."""
    for path in sorted([*data.rglob("*.jsonl"), *data.rglob("*.jsonl.xz")]):
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                record = json.loads(line)
                text = str(record["text"]).encode("utf-8", "replace").decode()
                yield Document(f"{path.stem}-{number}", text, path.parent.name, "", str(record.get("lang", "")))


def look_up_times(index: CorpusIndex, documents: Sequence[Document]) -> list[float]:
    """Milliseconds that answers take, the passages shown included."""
    chosen = random.Random(0)
    trace(index, documents[0].text[:1000])  # compiles
    times = []
    for _ in range(NUM_ANSWERS):
        words: list[str] = []
        while len(words) < ANSWER_WORDS:
            source = chosen.choice(documents).text.split()
            start = chosen.randrange(max(1, len(source)))
            words += source[start : start + chosen.randrange(5, 40)]
        answer = " ".join(words[:ANSWER_WORDS])
        started = time.perf_counter()
        trace(index, answer)
        times.append((time.perf_counter() - started) * 1e3)
    return times


if __name__ == "__main__":
    raise SystemExit("Type: python -m benchmarks.evals DATA --only index")
