"""The small texts in tests/data: what is committed is what the script writes, in five languages, under a megabyte."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

DATA = Path(__file__).parents[1] / "data"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_texts", DATA / "write_texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_files_are_what_the_script_writes() -> None:
    for path, text in load_script().files().items():
        assert (DATA / path).read_text("utf-8") == text, "run python tests/data/write_texts.py"


def test_good_documents_are_distinct_and_faults_are_planted() -> None:
    rows = {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (DATA / "raw").glob("*.jsonl")
    }
    faults = rows.pop("faults")
    texts = [row["text"] for documents in rows.values() for row in documents]
    assert len(texts) == len(set(texts)) >= 300
    assert min(map(len, texts)) > 400
    ids = [row["id"] for documents in (*rows.values(), faults) for row in documents]
    assert len(ids) == len(set(ids))
    kinds = Counter(row["id"].split("-")[0] for row in faults)
    assert kinds.keys() == {"duplicate", "empty", "symbols", "repeated", "unwanted"}
    assert all(row["text"] in texts for row in faults if row["id"].startswith("duplicate"))


def test_everything_stays_under_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 1_000_000
