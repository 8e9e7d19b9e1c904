"""mlcroissant finds no error in the data card of a release, and reads the corpus by it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bise.openness.lineage import lineage_of
from bise.openness.release.croissant import croissant
from bise.openness.release.record import About
from tests.command import ROOT, succeed

pytestmark = pytest.mark.peers

READ = """
import itertools, json, sys
import mlcroissant

dataset = mlcroissant.Dataset(sys.argv[1])
records = list(itertools.islice(dataset.records(dataset.metadata.record_sets[0].uuid), 3))
print(json.dumps({"errors": sorted(dataset.metadata.issues.errors),
                  "texts": [str(next(v for k, v in one.items() if k.endswith("text")), "utf-8") for one in records]}))
"""


def test_the_data_card_is_valid_and_reads_the_corpus(tmp_path: Path) -> None:
    succeed("curate", "recipes/tiny/curate.toml", "--set", f"root={tmp_path.as_posix()}", cwd=ROOT)
    corpus = tmp_path / "curate/tiny"
    card = corpus / "croissant.json"
    card.write_text(json.dumps(croissant(lineage_of(corpus, tmp_path).links[0], About())), encoding="utf-8")
    python = os.environ["BISE_OPENNESS_PEERS_PYTHON"]
    done = subprocess.run([python, "-c", READ, str(card)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["errors"] == []
    assert len(told["texts"]) == 3
    assert all(len(text) > 50 for text in told["texts"])
