"""`bise train` and `bise tune` end with figures on stdout and the run's place on stderr, or say what is wrong."""

import json
from pathlib import Path

import pytest

from bise.cli.main import run

RECIPES = Path("recipes/tiny")


def bise(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.slow
def test_the_tiny_recipes_make_a_model_that_answers_from_its_conversations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, talk = ("--set", f"root={tmp_path}"), tmp_path / "tune.toml"
    corpus, tokenizer = f"corpus={tmp_path}/curate/tiny", f"tokenizer={tmp_path}/tokenizer/tiny"
    quick = ("--set", "tokens=20_000", "--set", "loop.threads=1")
    assert bise("curate", RECIPES / "curate.toml", *root) == 0
    assert bise("tokenizer", "train", RECIPES / "tokenizer.toml", *root, "--set", corpus) == 0
    capsys.readouterr()
    assert bise("train", RECIPES / "train.toml", *root, "--set", corpus, "--set", tokenizer, *quick) == 0
    out, err = capsys.readouterr()
    assert "bits per byte" in out
    assert str(tmp_path / "train" / "tiny") in err.replace("\n", "")
    talk.write_text(TUNE.format(tmp=tmp_path.as_posix()), encoding="utf-8")
    assert bise("tune", talk, "--json") == 0
    out, err = capsys.readouterr()
    assert str(tmp_path / "tune" / "tiny") in err.replace("\n", "")
    assert (tmp_path / "tune" / "tiny" / "model" / "model.safetensors").exists()
    facts = json.loads(out)
    learned = {name: before for name, before in facts["held_out_before"].items() if not name.startswith("text ")}
    assert learned
    assert all(facts["held_out"][name]["loss"] < before["loss"] for name, before in learned.items())


TUNE = """
name = "tiny"
root = "{tmp}"
base = "{tmp}/train/tiny"
epochs = 3.0
held_out_fraction = 0.2
[[conversations]]
name = "tiny"
licence = "Apache-2.0"
files = [{{ path = "tests/data/conversations.jsonl" }}]
[loop]
batch_rows = 4
microbatch_rows = 4
threads = 1
"""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("train", "nowhere.toml"), "no recipe at nowhere.toml"),
        (("tune", "nowhere.toml"), "no recipe at nowhere.toml"),
        (("train", RECIPES / "train.toml", "--set", "tokens=0"), "tokens is 0"),
        (("train", RECIPES / "train.toml", "--set", "shape.width=3"), "unknown key width"),
        (("train", RECIPES / "train.toml", "--set", "corpus=nowhere"), "no run at nowhere"),
        (("tune", RECIPES / "train.toml"), "unknown key"),
    ],
)
def test_mistakes(arguments: tuple[str | Path, ...], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise(*arguments) == 2
    assert reason in capsys.readouterr().err
