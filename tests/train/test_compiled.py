"""A compiled run is a run: it is chosen by its length, recorded, and continues bit for bit."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from bise.errors import InputError
from bise.model.files import load_model
from bise.train.compiled import should_compile
from bise.train.pretrain import train
from bise.train.recipe import TrainRecipe
from bise.train.report import Silent
from tests.train.test_pretrain import metrics, run_of, stop


def test_only_long_runs_are_compiled() -> None:
    assert not should_compile("auto", 60.0, "cpu")
    assert not should_compile(False, 1e6, "cpu")
    if shutil.which("g++"):
        assert should_compile("auto", 1e5, "cpu")
        assert should_compile(True, 1.0, "cpu")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not should_compile("auto", 1e5, "cpu")
    with pytest.raises(InputError, match="C\\+\\+ compiler"):
        should_compile(True, 1.0, "cpu")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_stopped_and_continued_equals_undisturbed_when_compiled(recipe: TrainRecipe) -> None:
    compiled = replace(recipe, loop=replace(recipe.loop, compile=True, precision="bf16"))
    facts = train(compiled, Silent()).facts
    assert facts["compiled"] is True
    disturbed = replace(compiled, root=recipe.root / "disturbed")
    stop(disturbed, 8)
    begun = json.loads((run_of(disturbed) / "begun.json").read_text(encoding="utf-8"))
    assert begun["choices"] == {"precision": "bf16", "is_compiled": True}
    train(disturbed, Silent())
    plain, continued = (load_model(run_of(r) / "model").state_dict() for r in (compiled, disturbed))
    assert all(torch.equal(tensor, continued[name]) for name, tensor in plain.items())
    assert metrics(compiled) == metrics(disturbed)
