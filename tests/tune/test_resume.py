"""A tune that was stopped or killed and goes on ends with the same bytes as one that nobody disturbed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bise.config import load_recipe
from bise.runs import read_manifest
from bise.train.report import Silent
from bise.tune.finetune import tune
from bise.tune.recipe import AdapterRecipe, DpoRecipe, TuneRecipe

ADAPTER = AdapterRecipe(rank=4)
KINDS = {
    "all weights": {},
    "adapter": {"adapter": ADAPTER},
    "preferences": {"dpo": DpoRecipe()},
    "preferences by an adapter": {"dpo": DpoRecipe(sft_weight=0.5), "adapter": ADAPTER},
}


class KilledError(Exception):
    """The process is gone: nothing after this runs."""


class Disturbing(Silent):
    """Presses Ctrl-C after one step, or ends everything after another that no checkpoint holds."""

    def __init__(self, stop_after: int = 0, kill_after: int = 0) -> None:
        self.stop_after, self.kill_after = stop_after, kill_after

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        super().advance(task, done, total, note)
        if task == "Training" and done == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        if task == "Training" and done == self.kill_after:
            raise KilledError


def outputs(recipe: TuneRecipe) -> dict[str, str]:
    """The hash of every weight file."""
    manifest = read_manifest(recipe.root / "tune" / recipe.name)
    return {output.path: output.sha256 for output in manifest.outputs if output.path.endswith(".safetensors")}


@pytest.mark.parametrize("kind", KINDS)
def test_disturbed_equals_undisturbed(
    recipe: TuneRecipe, preferring: TuneRecipe, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(preferring if "dpo" in KINDS[kind] else recipe, epochs=12.0, **KINDS[kind])  # type: ignore[arg-type]
    disturbed = replace(plain, name="disturbed")
    tune(plain, Silent())
    with pytest.raises(KeyboardInterrupt):
        tune(disturbed, Disturbing(stop_after=5))
    with pytest.raises(KilledError):
        tune(disturbed, Disturbing(kill_after=10))  # the checkpoint before it is that of step 7
    tune(disturbed, Silent())
    assert outputs(disturbed) == outputs(plain)


COMMANDS = {
    "all weights": ("talk", ""),
    "adapter": ("talk", "[adapter]\nrank = 4"),
    "preferences by an adapter": ("pairs", "[dpo]\nbeta = 0.3\n[adapter]\nrank = 4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_kill_9_in_the_middle_of_the_command(preferring: TuneRecipe, tmp_path: Path, kind: str) -> None:
    recipe, (source, sections) = tmp_path / "tune.toml", COMMANDS[kind]
    recipe.write_text(
        f"""
        name = "plain"
        base = "{preferring.base}"
        root = "{preferring.root}"
        epochs = 20
        held_out_fraction = 0.3
        conversations = []
        [sources]
        root = "{tmp_path}"
        list = [{{ name = "{source}", licence = "Apache-2.0", files = [{{ path = "{source}.jsonl" }}] }}]
        {sections}
        [loop]
        batch_rows = 2
        microbatch_rows = 1
        checkpoint_every = 3
        threads = 1
        precision = "f32"
        """
    )
    plain = load_recipe(recipe, TuneRecipe)
    tune(plain, Silent())
    command = [sys.executable, "-m", "bise", "tune", str(recipe), "--set", "name=killed"]
    metrics = preferring.root / "tune" / "killed" / "metrics.jsonl"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not metrics.exists() or metrics.read_text().count('"loss"') < 12):
            time.sleep(0.01)
        process.kill()
    assert not (metrics.parent / "manifest.json").exists(), "it was killed too late"
    subprocess.run(command, check=True, capture_output=True)
    assert outputs(replace(plain, name="killed")) == outputs(plain)
