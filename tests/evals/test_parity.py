"""The same sentences in several languages: figures are their definitions, and a language beside itself is even."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.errors import InputError
from bise.evals.api import Api
from bise.evals.parity import parity_of
from bise.evals.parity_section import parity_lines, parity_section
from bise.evals.report import write_report
from bise.evals.results import Results, read_items
from bise.evals.rolling import score_documents
from bise.evals.run import run_suites
from bise.evals.target import Target
from bise.evals.tasks import DataSettings, EvalSettings

SENTENCES = [
    {"id": str(n), "en": f"In {n} the old bridge was closed.", "de": f"Im Jahr {n} wurde die alte Brücke gesperrt."}
    for n in range(1950, 1970)
]


def silent(done: int, total: int, task: str) -> None:
    assert 0 <= done <= total


@pytest.fixture
def settings(tmp_path: Path) -> EvalSettings:
    directory = tmp_path / "data" / "pud-parallel"
    directory.mkdir(parents=True)
    # One language more, which says the same as English in the same words.
    lines = [json.dumps(record | {"xx": record["en"]}) for record in SENTENCES]
    (directory / "all-00.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return EvalSettings(DataSettings(tmp_path / "data"))


def test_parity_is_what_its_definitions_say(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    results = run_suites(target, ["parity"], settings, tmp_path / "out", silent)
    assert [(task.task, task.metric, task.n) for task in results.tasks][:3] == [
        ("parity-bits-en", "bits_per_sentence", 20),
        ("parity-bits-de", "bits_per_sentence", 20),
        ("parity-bits-xx", "bits_per_sentence", 20),
    ]
    found = {each.language: each for each in parity_of(tmp_path / "out", results)}
    assert list(found) == ["en", "de", "xx"]
    for same in (found["en"], found["xx"]):
        for even in (same.bits_ratio, same.tokens_per_byte_ratio, same.tokens_ratio):
            assert (even.value, even.low, even.high) == pytest.approx((1.0, 1.0, 1.0))
    api, german = Api(target), [record["de"] for record in SENTENCES]
    bits = np.array([score.nats for score in score_documents(api, german)]) / np.log(2)
    tokens = np.array([len(ids) for ids in api.tokenize(german)])
    english = np.array([len(ids) for ids in api.tokenize([record["en"] for record in SENTENCES])])
    de = found["de"]
    assert de.bits_per_sentence.value == pytest.approx(bits.mean(), rel=1e-6)
    assert de.tokens_per_byte.value == pytest.approx(tokens.sum() / sum(len(text.encode()) for text in german))
    assert de.tokens_ratio.value == pytest.approx(tokens.sum() / english.sum())
    assert de.bits_ratio.low <= de.bits_ratio.value <= de.bits_ratio.high
    assert de.num_sentences == 20
    told = list(parity_lines(list(found.values())))
    assert f"{de.bits_ratio.value:.3f}" in next(line for line in told if line.startswith("de"))
    drawn = parity_section(list(found.values()))
    assert drawn.count('<svg class="intervals"') == 2
    assert f"{de.tokens_per_byte_ratio.value:.3f}" in drawn
    report = write_report(tmp_path / "out", results).read_text(encoding="utf-8")
    assert drawn in report


def test_an_item_has_one_name_in_all_languages(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    few = replace(settings, limit=4)
    run_suites(target, ["parity"], few, tmp_path / "out", silent)
    names = [[item.id for item in read_items(tmp_path / "out", f"parity-bits-{lang}")] for lang in ("en", "de")]
    assert names[0] == names[1]
    assert len(set(names[0])) == 4


def test_without_the_suite_there_is_no_parity(target: Target, tmp_path: Path) -> None:
    assert parity_of(tmp_path, Results(target.described, ())) == []


def test_a_sentence_that_lacks_a_language_is_named(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    (path,) = (tmp_path / "data/pud-parallel").iterdir()
    path.write_text(path.read_text(encoding="utf-8") + '\n{"id": "x", "en": "Alone."}', encoding="utf-8")
    with pytest.raises(InputError, match="line 21, has no de, xx"):
        run_suites(target, ["parity"], settings, tmp_path / "out", silent)
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="holds no sentences"):
        run_suites(target, ["parity"], settings, tmp_path / "out", silent)
