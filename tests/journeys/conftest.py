"""A tiny model made by the commands of the README, once for all journeys."""

from pathlib import Path

import pytest

from tests.command import succeed


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """From a few hundred raw documents to a model in the store, by the public commands; its name."""
    runs = tmp_path_factory.mktemp("runs")
    root = ["--set", f"root={runs}"]
    corpus, tokenizer = ["--set", f"corpus={runs}/curate/tiny"], ["--set", f"tokenizer={runs}/tokenizer/tiny"]
    succeed("curate", "recipes/tiny/curate.toml", *root)
    succeed("tokenizer", "train", "recipes/tiny/tokenizer.toml", *root, *corpus)
    succeed("train", "recipes/tiny/train.toml", *root, *corpus, *tokenizer)
    succeed("tune", "recipes/tiny/tune.toml", *root, "--set", f"base={runs}/train/tiny")
    succeed("pull", Path(runs) / "tune" / "tiny", "--name", "journey", "--bits", "16")
    return "journey"
