import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bise.errors import InputError, NotFoundError, UnavailableError
from bise.evals.results import EvaluatedModel, Item, Protocol, Usage, read_items, read_results
from bise.evals.run import evaluate, make_result, run_suites
from bise.evals.suites import check_suites
from bise.evals.target import Target, remote_target
from bise.evals.tasks import DataSettings, EvalSettings, Prices, Task
from bise.model.frozen import load_frozen
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.store import shipped_directory
from tests.command import free_port

TEXTS = {
    "en": ["The wind comes over the lake in the morning, and the boats lie still.", "A short text.", "Tea. " * 400],
    "fr": ["Le vent vient du lac, le matin, et les bateaux ne bougent pas.", "Un été sans pluie ; œuf, naïf, gęś 🪿."],
}


@pytest.fixture
def settings(tmp_path: Path) -> EvalSettings:
    directory = tmp_path / "texts"
    directory.mkdir()
    for language, texts in TEXTS.items():
        lines = [json.dumps({"text": text}) for text in texts]
        (directory / f"{language}-00.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return EvalSettings(DataSettings(tmp_path), root=tmp_path / "runs", name="tiny")


def silent(done: int, total: int, task: str) -> None:
    assert 0 <= done <= total


def bits_per_byte(texts: Sequence[str], context: int) -> float:
    """The definition, in PyTorch: windows that continue where the last one ended and see one token of it."""
    model, tokenizer = load_frozen(shipped_directory()), ChatTokenizer.load(shipped_directory())
    nats = 0.0
    for text in texts:
        ids = tokenizer.begin(tokenizer.encode(text))
        for start in range(0, len(ids) - 1, context - 2):
            window = torch.tensor(ids[start : start + context - 1])[None]
            with torch.no_grad():
                logs = model(window)[0].log_softmax(-1)
            nats -= float(logs[:-1].gather(1, window[0, 1:, None]).sum())
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def test_bits_per_byte_are_those_of_the_definition(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    results = run_suites(target, ["bits-per-byte"], settings, tmp_path / "out", silent)
    assert [task.task for task in results.tasks] == ["bits-per-byte-en", "bits-per-byte-fr"]
    for task in results.tasks:
        texts = TEXTS[task.language]
        assert task.value == pytest.approx(bits_per_byte(texts, target.context_length), rel=3e-3)  # int8 activations
        items = read_items(tmp_path / "out", task.task)
        assert [item.weight for item in items] == [len(text.encode()) for text in texts]
        assert task.value == pytest.approx(sum(i.value for i in items) / sum(i.weight for i in items), rel=1e-12)
        assert task.usage.num_prompt_tokens > 0
    assert read_results(tmp_path / "out") == results


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    target: Target, settings: EvalSettings, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    started: list[str] = []

    def stop_at_the_second(done: int, total: int, task: str) -> None:
        if done == 0:
            started.append(task)
        if task == "bits-per-byte-fr" and done:
            raise Stopped

    def note(done: int, total: int, task: str) -> None:
        started.append(task)

    with pytest.raises(ExceptionGroup) as stopped:  # of one, or of several requests that were under way
        evaluate(target, ["bits-per-byte"], settings, stop_at_the_second)
    assert {type(error) for error in stopped.value.exceptions} == {Stopped}
    run = settings.root / "eval/tiny"
    assert [task.task for task in read_results(run).tasks] == ["bits-per-byte-en"]
    assert not (run / "manifest.json").exists()
    resumed, manifest = evaluate(target, ["bits-per-byte"], settings, note)
    assert started.count("bits-per-byte-en") == 1
    whole = run_suites(target, ["bits-per-byte"], settings, run.with_name("whole"), silent)
    assert [replace(t, date="", usage=Usage()) for t in resumed.tasks] == [
        replace(t, date="", usage=Usage()) for t in whole.tasks
    ]
    assert {entry.kind for entry in manifest.inputs} == {"model", "file"}
    with pytest.raises(InputError, match="finished"):
        evaluate(target, ["bits-per-byte"], settings, silent)


def test_another_models_results_are_left_alone(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    run_suites(target, ["bits-per-byte"], replace(settings, limit=1), tmp_path / "out", silent)
    other = replace(target, described=EvaluatedModel("other", "remote", url=target.url))
    with pytest.raises(InputError, match="bise-demo"):
        run_suites(other, ["bits-per-byte"], settings, tmp_path / "out", silent)


def test_a_limit_draws_items_and_a_price_makes_a_cost(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    cut = replace(settings, limit=2, price=Prices(prompt=1e6, currency="CHF"))
    one = run_suites(target, ["bits-per-byte"], cut, tmp_path / "two", silent)
    all_of_them = run_suites(target, ["bits-per-byte"], settings, tmp_path / "all", silent)
    assert [task.n for task in one.tasks] == [2, 2]
    assert one.tasks[0].protocol.limit == 2
    assert one.tasks[0].usage.cost == f"{one.tasks[0].usage.num_prompt_tokens:.4f} CHF"
    drawn = {item.id: item for item in read_items(tmp_path / "two", "bits-per-byte-en")}
    known = {item.id: item for item in read_items(tmp_path / "all", "bits-per-byte-en")}
    assert set(drawn) < set(known)
    assert all(item.value == pytest.approx(known[name].value, rel=1e-3) for name, item in drawn.items())
    assert len(all_of_them.tasks) == 2


def test_a_remote_server_is_asked_with_the_key_of_a_variable(
    target: Target, settings: EvalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", target.key)
    remote = remote_target(target.url + "/", "bise-demo", "SOME_KEY")
    assert remote.described == EvaluatedModel("bise-demo", "remote", url=target.url)
    ours = run_suites(target, ["bits-per-byte"], replace(settings, limit=1), tmp_path / "local", silent)
    theirs = run_suites(remote, ["bits-per-byte"], replace(settings, limit=1), tmp_path / "remote", silent)
    assert [t.value for t in theirs.tasks] == pytest.approx([t.value for t in ours.tasks], rel=1e-3)
    assert target.key not in (tmp_path / "remote/results.json").read_text()
    with pytest.raises(InputError, match="offers: bise-demo"):
        remote_target(target.url, "gpt-9", "SOME_KEY")
    with pytest.raises(InputError, match="NO_SUCH_KEY"):
        remote_target(target.url, "bise-demo", "NO_SUCH_KEY")
    with pytest.raises(InputError, match="--key-env"):
        remote_target(target.url, "bise-demo")
    with pytest.raises(InputError, match="http"):
        remote_target("10.0.0.5:8000", "bise-demo")


def test_a_server_that_is_down_is_told(settings: EvalSettings, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(UnavailableError, match=address):
        remote_target(address, "bise-demo")


def test_what_is_wrong_with_files_is_named(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    place = tmp_path / "bad"
    for content, told in (('{"text": "a"}\n{"txt": 1}', "line 2, has no text"), ("{", "line 1, is not JSON")):
        place.mkdir(exist_ok=True)
        (place / "it.jsonl").write_text(content)
        bad = replace(settings, data=DataSettings(texts=place))
        with pytest.raises(InputError, match=rf"it\.jsonl, {told}"):
            run_suites(target, ["bits-per-byte"], bad, tmp_path / "out", silent)
    with pytest.raises(NotFoundError, match=r"nowhere.*fr\.jsonl"):
        run_suites(
            target, ["bits-per-byte"], replace(settings, data=DataSettings(tmp_path / "nowhere")), tmp_path, silent
        )
    with pytest.raises(InputError, match=r"data\.texts"):
        run_suites(target, ["bits-per-byte"], EvalSettings(), tmp_path, silent)


def test_unknown_suites_are_told_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match=r"(?s)sudoku.*bits-per-byte"):
        check_suites(["sudoku"])
    with pytest.raises(NotFoundError, match="bits-per-byte"):
        check_suites([])
    assert len(check_suites(["all", "bits-per-byte"])) == len(check_suites(["all"]))


def coin(num_right: int, num: int) -> list[Item]:
    return [Item(str(index), float(index < num_right), chance=0.5) for index in range(num)]


@pytest.mark.parametrize(("num_right", "at_chance"), [(50, True), (58, True), (62, False), (38, False), (100, False)])
def test_a_score_is_told_from_guessing_only_outside_its_interval(num_right: int, at_chance: bool) -> None:
    task = Task("s", "t", "acc", (), lambda *_: [], "likelihood")
    result = make_result(task, coin(num_right, 100), Protocol("likelihood", "bise", "1", 0, "none", 1), Usage())
    assert result.at_chance is at_chance
    assert result.standard_error is not None
    assert result.minimum_detectable_effect == pytest.approx(2.8016 * result.standard_error, rel=1e-3)


def test_the_interval_of_a_ratio_covers_its_truth() -> None:
    generator, hits = np.random.default_rng(1), 0
    task = Task("s", "t", "bits_per_byte", (), lambda *_: [], "likelihood", is_binary=False)
    for _ in range(60):
        weights = generator.integers(20, 400, 80)
        items = [Item("", float(w * generator.normal(2.0, 0.4)), float(w)) for w in weights]
        result = make_result(task, items, Protocol("likelihood", "bise", "1", 0, "none", 1), Usage())
        assert result.standard_error is not None
        hits += abs(result.value - 2.0) < 1.96 * result.standard_error
    assert hits >= 52
