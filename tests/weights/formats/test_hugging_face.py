"""Hugging Face directories: transformers reads what we write and we read what it writes, with the same logits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.errors import InputError, NotFoundError
from bise.weights.files import open_weights
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.export import Companions, export_model
from bise.weights.formats.hugging_face import read_hugging_face
from bise.weights.tensor_file import write_tensors
from bise.weights.tensors import narrow
from tests.random_models import SHAPES, TINY, random_tensors, write_model
from tests.weights.formats.logits import our_logits, prompt, transformers_logits


def transformers_model(directory: Path, **changes: Any) -> Path:
    """A small random model, saved by transformers."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    shape = {
        "vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "sliding_window": None,
    }  # fmt: skip
    dtype, shards = changes.pop("dtype", torch.float32), changes.pop("max_shard_size", "5GB")
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(**(shape | changes))).to(dtype)
    model.save_pretrained(directory, max_shard_size=shards)
    return directory


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"sliding_window": 9},
        {"head_dim": 32, "num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"max_shard_size": "40kB"},
    ],
    ids=["plain", "tied", "sliding window", "wide heads, another base", "sharded"],
)
def test_what_transformers_writes_has_its_logits(tmp_path: Path, changes: dict[str, Any]) -> None:
    directory = transformers_model(tmp_path / "theirs", **changes)
    model = open_foreign(directory)
    ids = prompt(97)
    expected = transformers_logits(directory, ids)
    np.testing.assert_allclose(our_logits(model.weights, ids), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    if "max_shard_size" in changes:
        assert len(model.source_files) > 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_types_of_sixteen_bits_are_read(tmp_path: Path, dtype: str) -> None:
    import torch

    directory = transformers_model(tmp_path / "theirs", dtype=getattr(torch, dtype))
    ids = prompt(97)
    expected = transformers_logits(directory, ids)
    found = our_logits(open_foreign(directory).weights, ids)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [name for name in SHAPES if "growing queries" not in name])
def test_what_we_write_has_our_logits_in_transformers(tmp_path: Path, shape: str) -> None:
    spec = replace(SHAPES[shape], context_length=128)
    weights = open_weights(write_model(tmp_path / "ours", spec))
    export_model(weights, tmp_path / "out", "hf", Companions("ours"))
    ids = prompt(spec.vocab_size)
    expected = our_logits(weights, ids)
    found = transformers_logits(tmp_path / "out", ids)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_shards_are_divided_and_come_back(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path / "ours", TINY))
    written = export_model(weights, tmp_path / "out", "hf", Companions("ours"), shard_bytes=60_000)
    assert sum(path.suffix == ".safetensors" for path in written) > 2
    again = read_hugging_face(tmp_path / "out").weights
    assert again.spec == TINY
    for name in TINY.tensor_shapes():
        np.testing.assert_array_equal(again.tensor(name), weights.tensor(name))


def test_files_go_along_and_an_export_is_never_half_there(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    tensors["output.weight"][-1, -1] = np.nan
    weights = open_weights(write_model(tmp_path / "broken", TINY, tensors))
    with pytest.raises(InputError, match=r"output\.weight"):
        export_model(weights, tmp_path / "out", "hf", Companions("ours"))
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
    weights = open_weights(write_model(tmp_path / "whole", TINY))
    (tmp_path / "tekken.json").write_text("{}", encoding="utf-8")
    export_model(weights, tmp_path / "out", "hf", Companions("ours", (tmp_path / "tekken.json",)))
    assert (tmp_path / "out/tekken.json").is_file()
    with pytest.raises(InputError, match="is there already"):
        export_model(weights, tmp_path / "out", "hf", Companions("ours"))


def test_a_value_too_large_for_the_type_is_refused(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    tensors["norm.weight"][0] = 1e6
    weights = open_weights(write_model(tmp_path / "ours", TINY, tensors))
    with pytest.raises(InputError, match="too large for float16"):
        export_model(weights, tmp_path / "out", "hf", Companions("ours"), dtype="float16")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A whole Hugging Face directory of ours."""
    weights = open_weights(write_model(tmp_path / "ours", TINY))
    export_model(weights, tmp_path / "hf", "hf", Companions("ours"))
    return tmp_path / "hf"


def change_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "weights.pickle", "x.PKL", "modeling_own.py", "a.h5", "y.npz", "z.ckpt"]
)
def test_files_that_can_run_code_are_refused(directory: Path, name: str) -> None:
    (directory / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(InputError, match="can run code") as error:
        open_foreign(directory)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auto_map": {"AutoModel": "own.Model"}}, "Python code of its own"),
        ({"model_type": "mamba"}, "'mamba' is not supported. Bise computes mistral (Mistral 7B"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"quantization_config": {"bits": 4}}, "another program has quantised"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers is '2'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 9999}, "too few for the 9999 layers"),
        ({"num_hidden_layers": 3}, r"no tensor model.layers.2"),
        ({"num_hidden_layers": 1}, "tensors that its config does not explain"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"vocab_size": 96}, "has shape (97, 64), but its config asks for (96, 64)"),
        ({"sliding_window": -1}, "sliding_window is -1"),
    ],
)
def test_what_is_not_supported_is_named(directory: Path, changes: dict[str, object], words: str) -> None:
    change_config(directory, **changes)
    with pytest.raises(InputError) as error:
        open_foreign(directory)
    assert words in str(error.value)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": 5}', '{"weight_map": {"a": "../x.safetensors"}}',
                                   '{"weight_map": {"a": "x.bin"}}', '{"weight_map": {"a": "x.safetensors"}}',
                                   '{"weight_map": {"a": 5}}', "{", "[" * 100_000])  # fmt: skip
def test_an_index_that_leads_elsewhere_is_refused(directory: Path, index: str) -> None:
    (directory / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index\.json|no x\.safetensors"):
        open_foreign(directory)


def test_what_is_no_model_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="a Mistral directory"):
        open_foreign(tmp_path / "none")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"it holds notes\.txt. Bise reads a Hugging Face directory"):
        open_foreign(tmp_path)


def test_the_text_tower_of_a_model_that_sees_is_read(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path / "ours", TINY))
    export_model(weights, tmp_path / "hf", "hf", Companions("ours"))
    config = json.loads((tmp_path / "hf/config.json").read_text())
    for layout in ("language_model.{}", "model.language_model.{}"):
        target = tmp_path / layout[:9].replace(".", "")
        tensors = {"vision_tower.patch.weight": ("F32", np.ones((2, 2), np.float32))}
        for name, tensor in read_hugging_face(tmp_path / "hf").weights.stored.items():
            theirs = hugging_face_tower_name(name, layout)
            tensors[theirs] = ("BF16", narrow(tensor.floats(slice(None)), "BF16"))
        target.mkdir()
        write_tensors(target / "model.safetensors", tensors)
        (target / "config.json").write_text(json.dumps({"model_type": "mistral3", "text_config": config}))
        model = open_foreign(target)
        assert "vision_tower.patch.weight" in model.notes[0]
        np.testing.assert_allclose(model.weights.tensor("output.weight"), weights.tensor("output.weight"), rtol=2**-8)


def hugging_face_tower_name(name: str, layout: str) -> str:
    from bise.weights.formats.hugging_face import hugging_face_name

    plain = hugging_face_name(name)
    if layout.startswith("model"):
        return plain if plain.startswith("lm_head") else layout.format(plain.removeprefix("model."))
    return layout.format(plain)


def test_the_licence_is_that_of_the_card(directory: Path) -> None:
    (directory / "README.md").write_text("---\nlanguage: fr\nlicense: apache-2.0\ntags: [a]\n---\n# license: mit\n")
    assert open_foreign(directory).licence == "apache-2.0"
