"""An adapter enters the store whole, checked against its model, or not at all; its name never becomes another path."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.runs import RunDirectory, read_manifest, run_input
from bise.weights import adapters, store
from bise.weights.adapter import ADAPTER_FILE, CONFIG_FILE
from tests.random_adapters import write_adapter
from tests.random_models import TINY, write_model


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    write_model(home() / "models" / "mine", TINY)


def tune_run(root: Path, name: str = "polite") -> Path:
    run = RunDirectory(root, "tune", name)
    write_adapter(run.path / "adapter", TINY, rank=3)
    run.finish({}, [], {"loss": 0.5})
    return run.path


def test_a_tune_runs_adapter_is_offered_with_its_run_named_by_hash(tmp_path: Path) -> None:
    run = tune_run(tmp_path / "runs")
    stored = adapters.install_adapter(run, "mine", "polite")
    assert stored.path == home() / "adapters" / "mine" / "polite"
    assert (stored.reference, stored.problem) == ("mine:polite", None)
    manifest = read_manifest(stored.path)
    assert (manifest.stage, manifest.name, manifest.inputs) == ("adapter", "mine:polite", (run_input(run),))
    assert (manifest.facts["loss"], manifest.facts["rank"]) == (0.5, 3)
    for file in (ADAPTER_FILE, CONFIG_FILE):
        assert (stored.path / file).read_bytes() == (run / "adapter" / file).read_bytes()
    assert adapters.list_adapters("mine") == [adapters.find_adapter("mine", "polite")] == [stored]
    assert adapters.models_with_adapters() == ["mine"]


def test_a_directory_from_peft_does_as_well_and_what_was_installed_can_be_again(tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "source", TINY, targets=("wq", "wv"))
    first = adapters.install_adapter(source, "mine", "a")
    second = adapters.install_adapter(first.path, "mine", "b")
    assert read_manifest(second.path).inputs == (run_input(first.path),)
    assert [adapter.name for adapter in adapters.list_adapters("mine")] == ["a", "b"]
    pair = adapters.open_adapter(second.path, TINY).pair("layers.1.attention.wq")
    assert pair is not None
    assert (pair[0].shape, pair[1].shape) == ((4, 64), (64, 4))
    assert adapters.open_adapter(second.path, TINY).pair("layers.1.attention.wk") is None


def test_bfloat16_files_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    source = write_adapter(tmp_path / "source", TINY)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(source / ADAPTER_FILE).items()}
    save_file(tensors, source / ADAPTER_FILE)
    adapters.install_adapter(source, "mine", "half")
    a, _ = adapters.open_adapter(home() / "adapters/mine/half", TINY).pair("layers.0.feed_forward.w2")
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    np.testing.assert_array_equal(a, tensors[name].float().numpy())


def test_removing_and_installing_again_is_another_adapter(tmp_path: Path) -> None:
    path = adapters.install_adapter(write_adapter(tmp_path / "1", TINY, seed=1), "mine", "a").path
    key = adapters.adapter_key(path)
    assert adapters.remove_adapter("mine", "a") == path
    assert (adapters.adapter_key(path), adapters.list_adapters("mine"), list(path.parent.iterdir())) == (None, [], [])
    adapters.install_adapter(write_adapter(tmp_path / "2", TINY, seed=2), "mine", "a")
    assert adapters.adapter_key(path) not in (None, key)
    with pytest.raises(InputError, match="bise models remove mine:a"):
        adapters.install_adapter(tmp_path / "1", "mine", "a")


def test_what_does_not_fit_or_is_damaged_leaves_nothing_behind(tmp_path: Path) -> None:
    wrong = {
        "made for": write_adapter(tmp_path / "other", replace(TINY, ffn_size=128)),
        "damaged": write_adapter(tmp_path / "cut", TINY),
        "not numbers": write_adapter(tmp_path / "nan", TINY),
        "r'": write_adapter(tmp_path / "config", TINY),
    }
    file = wrong["damaged"] / ADAPTER_FILE
    file.write_bytes(file.read_bytes()[:-1])
    file = wrong["not numbers"] / ADAPTER_FILE
    file.write_bytes(file.read_bytes()[:-4] + np.float32(np.inf).tobytes())
    (wrong["r'"] / CONFIG_FILE).write_text(json.dumps({"peft_type": "LORA"}))
    for words, source in wrong.items():
        with pytest.raises(InputError, match=words):
            adapters.install_adapter(source, "mine", "a")
    altered = tune_run(tmp_path / "runs")
    write_adapter(altered / "adapter", TINY, rank=3, seed=5)
    with pytest.raises(InputError, match="hash differs"):
        adapters.install_adapter(altered, "mine", "a")
    (home() / "adapters" / "mine" / ".a.1.part").mkdir(parents=True)  # as a machine that fell over leaves it
    assert adapters.list_adapters("mine") == []
    assert list((home() / "adapters" / "mine").iterdir()) == [home() / "adapters" / "mine" / ".a.1.part"]


def test_errors_name_what_exists(tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "source", TINY)
    with pytest.raises(NotFoundError, match="has none here"):
        adapters.find_adapter("mine", "polite")
    adapters.install_adapter(source, "mine", "a")
    with pytest.raises(NotFoundError, match="Its adapters here: a"):
        adapters.find_adapter("mine", "polite")
    with pytest.raises(NotFoundError, match=r"Models here: .*mine"):
        adapters.install_adapter(source, "yours", "a")
    with pytest.raises(NotFoundError, match="no directory"):
        adapters.install_adapter(tmp_path / "nowhere", "mine", "b")
    with pytest.raises(NotFoundError, match=r"has adapter_config\.json"):
        adapters.install_adapter(store.find_model("mine"), "mine", "b")
    for model, name in (("mine", "../mine"), ("mine", ""), ("..", "a"), ("mine", "a:b"), ("mine", ".a")):
        with pytest.raises(InputError, match="name"):
            adapters.find_adapter(model, name)
        with pytest.raises(InputError, match="name"):
            adapters.install_adapter(source, model, name)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mine", ("mine", None)),
        ("mine:polite", ("mine", "polite")),
        ("mine:", ("mine", "")),
        ("./some/dir:polite", ("./some/dir", "polite")),
        ("C:/models/mine", ("C:/models/mine", None)),
        ("C:\\models\\mine", ("C:\\models\\mine", None)),
    ],
)
def test_which_texts_name_an_adapter(text: str, parts: tuple[str, str | None]) -> None:
    assert adapters.split_reference(text) == parts


def test_an_adapter_outlives_its_model(tmp_path: Path) -> None:
    adapters.install_adapter(write_adapter(tmp_path / "source", TINY), "mine", "a")
    store.remove_model("mine")
    assert adapters.models_with_adapters() == ["mine"]
    adapters.remove_adapter("mine", "a")
    assert adapters.models_with_adapters() == []
