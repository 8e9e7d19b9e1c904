"""Each architecture computes what `transformers` computes for it, on prompts longer than its window and first context."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.engine.forward import Model
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.engine.kernels.table import Kernels, choose_kernels
from bise.weights.architectures import ARCHITECTURES
from bise.weights.files import open_weights
from bise.weights.formats.hugging_face import read_hugging_face
from bise.weights.quantise import convert, quantise_directory
from tests.engine.test_forward import batch_of, prompt, run

pytestmark = pytest.mark.slow

LENGTH = 40
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
TURNS = ["sliding_attention", "full_attention", "sliding_attention"]


def theta(value: float) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": value}}


# Name -> config class and what differs from SIZES.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Mistral 7B v0.1": ("MistralConfig", {"sliding_window": 9, **theta(1e4)}),
    "Mistral 7B v0.3": ("MistralConfig", {"sliding_window": None, **theta(1e6)}),
    "Mistral Nemo": ("MistralConfig", {"sliding_window": None, "head_dim": 32, **theta(1e6)}),
    "Mistral Large": ("MistralConfig", {"sliding_window": None, "rms_norm_eps": 1e-5, **theta(1e9)}),
    "Ministral": ("MinistralConfig", {"sliding_window": 9, "layer_types": TURNS, "head_dim": 32, **theta(1e8)}),
    "Ministral 3": (
        "Ministral3Config",
        {
            "head_dim": 32,
            "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1},
        },
    ),
    "Mixtral": ("MixtralConfig", {"num_local_experts": 5, "sliding_window": None, **theta(1e6)}),
    "Mixtral, one of three experts, a window": (
        "MixtralConfig",
        {"num_local_experts": 3, "num_experts_per_tok": 1, "sliding_window": 9, "rms_norm_eps": 1e-6, **theta(1e4)},
    ),
    "Llama 2": ("LlamaConfig", {"num_key_value_heads": 6, **theta(1e4)}),
    "Llama 2, positions squeezed": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "Llama 3": (
        "LlamaConfig",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 5e5,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 24,
            }
        },
    ),
    "SmolLM2": ("LlamaConfig", {"tie_word_embeddings": True, **theta(1e5)}),
    "SmolLM3": ("SmolLM3Config", {"no_rope_layers": [1, 0, 1], "pad_token_id": 0, **theta(2e6)}),
    "Qwen2": ("Qwen2Config", {"tie_word_embeddings": True, **theta(1e6)}),
    "Qwen2, windows in upper layers": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1, **theta(1e6)},
    ),
    "Qwen2.5, YaRN": ("Qwen2Config", {"rope_parameters": {**YARN, "beta_fast": 16.0, "beta_slow": 2.0}}),
    "Qwen3": ("Qwen3Config", {"head_dim": 32, **theta(1e6)}),
    "Qwen3, attention factor": ("Qwen3Config", {"head_dim": 32, "rope_parameters": {**YARN, "attention_factor": 1.3}}),
}


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A random model of `transformers` as a model directory of ours, and its own logits of a prompt."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    kind, changes = MODELS[request.param]
    config = getattr(transformers, kind)(**{**SIZES, **changes, "attn_implementation": "eager"})
    model = transformers.AutoModelForCausalLM.from_config(config).to(torch.float32).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=2 / parameter.shape[-1] ** 0.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.5)
            else:
                parameter.uniform_(0.5, 1.5)
    directory = tmp_path_factory.mktemp("model")
    model.save_pretrained(directory / "theirs")
    weights = read_hugging_face(directory / "theirs").weights
    convert(weights, directory / "ours", None)
    with torch.no_grad():
        logits = model(torch.tensor([prompt(weights.spec, LENGTH)])).logits[0].numpy()
    return directory / "ours", logits


@pytest.fixture(scope="module")
def numba_kernels() -> Kernels:
    choice = choose_kernels()
    assert choice.kernels.name == "numba", choice.reason
    return choice.kernels


def test_every_architecture_is_tried() -> None:
    transformers = pytest.importorskip("transformers")
    assert {getattr(transformers, kind).model_type for kind, _ in MODELS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("reference", MODELS, indirect=True)
def test_logits_are_those_of_transformers(reference: tuple[Path, np.ndarray], numba_kernels: Kernels) -> None:
    directory, expected = reference
    weights = open_weights(directory)
    batch = batch_of((0, prompt(weights.spec, LENGTH), 0))
    for kernels in (numba_kernels, NUMPY_KERNELS):
        (logits,) = run(Model(weights, kernels), batch)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("reference", MODELS, indirect=True)
def test_the_fused_path_is_the_exact_one_but_for_int8(
    reference: tuple[Path, np.ndarray], numba_kernels: Kernels, tmp_path: Path
) -> None:
    quantise_directory(reference[0], tmp_path / "int8")
    weights = open_weights(tmp_path / "int8")
    batch = batch_of((0, prompt(weights.spec, LENGTH), 0))
    fused, exact = Model(weights, numba_kernels), Model(weights, numba_kernels, activations="float32")
    assert fused.is_fused
    (ours,), (expected,) = run(fused, batch, precision="fp16"), run(exact, batch)
    fused.close()
    errors = np.linalg.norm(ours - expected, axis=1) / np.linalg.norm(expected, axis=1)
    if weights.spec.num_experts:  # of two experts nearly as good, rounding may choose the other
        errors = np.sort(errors)[: LENGTH // 2]
    assert np.sqrt(np.mean(errors**2)) < 0.08


@pytest.mark.parametrize("reference", [name for name in MODELS if "Mixtral" not in name], indirect=True)
def test_the_pytorch_model_is_the_engine(reference: tuple[Path, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    from bise.model.files import load_model

    directory, expected = reference
    model = load_model(directory).eval()
    with torch.no_grad():
        logits = model(torch.tensor([prompt(model.spec, LENGTH)]))[0].numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
