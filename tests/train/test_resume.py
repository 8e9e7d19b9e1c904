"""Whatever ends a run, the same command takes it to the same weights, bit for bit."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bise.model.files import load_model
from bise.runs import MANIFEST
from bise.tokenizer.shards import open_shards
from bise.train.loader import shard_rows
from bise.train.pretrain import train
from bise.train.recipe import TrainRecipe
from bise.train.report import Silent
from tests.train.test_pretrain import metrics, run_of, stop

pytestmark = pytest.mark.slow

RECIPE = """
name = "small"
root = "{root}"
corpus = "{corpus}"
tokenizer = "{tokenizer}"
tokens = 12_800
held_out_fraction = 0.1
held_out_rows = 4
[shape]
hidden_size = 16
num_layers = 2
num_heads = 2
num_kv_heads = 1
head_dim = 8
ffn_size = 24
context_length = 32
tied_embeddings = true
[loop]
batch_rows = 8
microbatch_rows = 4
eval_every = 2
checkpoint_every = 3
threads = 1
precision = "f32"
"""


def written(recipe: TrainRecipe, root: Path) -> Path:
    path = root / "recipe.toml"
    root.mkdir(parents=True)
    assert recipe.tokenizer is not None
    text = RECIPE.format(root=root.as_posix(), corpus=recipe.corpus.as_posix(), tokenizer=recipe.tokenizer.as_posix())
    path.write_text(text, encoding="utf-8")
    return path


LIMITED = """
import resource, sys
from bise.cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
run(sys.argv[2:])
"""


def started(path: Path, most_bytes: int | None = None) -> subprocess.Popen[str]:
    """The command as a process; with `most_bytes`, the system lets it write no larger file."""
    program = ["-m", "bise"] if most_bytes is None else ["-c", LIMITED, str(most_bytes)]
    command = [sys.executable, *program, "train", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(path: Path, most_bytes: int | None = None) -> tuple[int, str]:
    """Its exit status and what it said."""
    process = started(path, most_bytes)
    _, words = process.communicate(timeout=200)
    return process.returncode, words


def num_lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0


def test_killed_again_and_again_equals_undisturbed(recipe: TrainRecipe, tmp_path: Path) -> None:
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    assert finished(written(recipe, plain))[0] == 0
    path, run = written(recipe, killed), killed / "train" / "small"
    for lines in (2, 7, 8, 31):  # in the first steps, about an evaluation, about a checkpoint, and much later
        process = started(path)
        while num_lines(run) < lines and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert not (run / MANIFEST).exists()
    assert finished(path)[0] == 0
    ours, theirs = (replace(recipe, root=root) for root in (plain, killed))
    assert metrics(ours) == metrics(theirs)
    one, other = (load_model(run_of(r) / "model").state_dict() for r in (ours, theirs))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_full_disk_is_a_sentence_and_leaves_the_last_checkpoint(recipe: TrainRecipe, tmp_path: Path) -> None:
    path, run = written(recipe, tmp_path / "full"), tmp_path / "full" / "train" / "small"
    process = started(path)
    while not (run / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    before = (run / "checkpoint.safetensors").read_bytes()
    status, words = finished(path, len(before) // 2)
    assert status == 2, words
    flat = words.replace("\n", " ")
    assert "could not be written" in flat
    assert "What was there before is whole. Make room" in flat
    assert "Traceback" not in words
    assert (run / "checkpoint.safetensors").read_bytes() == before
    assert not list(run.glob("*.part"))
    assert finished(path)[0] == 0


def test_a_line_that_was_cut_off_is_forgotten(recipe: TrainRecipe) -> None:
    train(recipe, Silent())
    disturbed = replace(recipe, root=recipe.root / "disturbed")
    stop(disturbed, 6)
    with (run_of(disturbed) / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 7, "held_out": {"en": {"loss": 3.0}}')
    train(disturbed, Silent())
    assert metrics(recipe) == metrics(disturbed)


def test_many_processes_read_what_one_would(recipe: TrainRecipe) -> None:
    train(recipe, Silent())
    shards = open_shards(next((recipe.root / "shards").iterdir()) / "train")
    loader = shard_rows(shards, bos_id=1, row_length=32, seed=3)
    for step in (0, 5, 40):
        alone = loader.batch(step, 8)
        for world_size in (1, 2, 4, 8):
            parts = [loader.batch(step, 8, rank, world_size) for rank in range(world_size)]
            together = torch.cat([part.inputs_BT for part in parts])
            assert json.dumps(sorted(together.tolist())) == json.dumps(sorted(alone.inputs_BT.tolist()))
            assert sum(part.num_targets for part in parts) == alone.num_targets
