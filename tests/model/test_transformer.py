"""Our decoder is Mistral's: same logits as the reference, no look-ahead, no leak between packed documents."""

from dataclasses import replace

import pytest
import torch

from bise.errors import InputError
from bise.model.transformer import Transformer
from bise.weights.spec import ModelSpec

SPEC = ModelSpec(
    vocab_size=97,
    hidden_size=48,
    num_layers=3,
    num_heads=6,
    num_kv_heads=2,
    head_dim=12,
    ffn_size=80,
    context_length=64,
)
UNTIED_NAMES = {"norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
REFERENCE_NAMES = {
    "tok_embeddings": "model.embed_tokens",
    "layers.": "model.layers.",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attention.w": "self_attn.",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}


def random_model(spec: ModelSpec = SPEC, seed: int = 0) -> Transformer:
    """A model whose every weight matters: a fresh one has zero branches and unit norms."""
    torch.manual_seed(seed)
    model = Transformer(spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (1.0 if parameter.dim() == 1 else 0.0))
    return model


def reference_name(name: str) -> str:
    """The Hugging Face name of a canonical tensor."""
    if name in UNTIED_NAMES:
        return UNTIED_NAMES[name]
    for ours, theirs in REFERENCE_NAMES.items():
        name = name.replace(ours, theirs, 1)
    for letter in "qkvo":
        name = name.replace(f"self_attn.{letter}.", f"self_attn.{letter}_proj.")
    return name


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_logits_equal_the_reference(tied: bool) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    spec = ModelSpec(**{**SPEC.__dict__, "tied_embeddings": tied, "rope_theta": 5000.0})
    model = random_model(spec)
    config = MistralConfig(
        vocab_size=spec.vocab_size,
        hidden_size=spec.hidden_size,
        intermediate_size=spec.ffn_size,
        num_hidden_layers=spec.num_layers,
        num_attention_heads=spec.num_heads,
        num_key_value_heads=spec.num_kv_heads,
        head_dim=spec.head_dim,
        rms_norm_eps=spec.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": spec.rope_theta},
        sliding_window=None,
        tie_word_embeddings=tied,
    )
    reference = MistralForCausalLM(config).eval()
    tensors = {reference_name(name): tensor for name, tensor in model.state_dict().items()}
    if tied:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    reference.load_state_dict(tensors)
    ids = torch.randint(0, spec.vocab_size, (2, 40))
    with torch.no_grad():
        ours, theirs = model(ids), reference(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=0)


def test_a_token_never_sees_what_follows() -> None:
    model = random_model()
    ids = torch.randint(0, SPEC.vocab_size, (1, 20))
    changed = ids.clone()
    changed[0, 12:] = (changed[0, 12:] + 1) % SPEC.vocab_size
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])


def test_documents_packed_in_a_row_equal_each_alone() -> None:
    model = random_model()
    first, second, third = (torch.randint(0, SPEC.vocab_size, (1, length)) for length in (9, 1, 14))
    documents = torch.tensor([[0] * 9 + [1] + [2] * 14])
    with torch.no_grad():
        packed = model(torch.cat((first, second, third), dim=1), documents)
        alone = torch.cat([model(ids) for ids in (first, second, third)], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_the_spec(tied: bool) -> None:
    spec = ModelSpec(**{**SPEC.__dict__, "tied_embeddings": tied})
    model = Transformer(spec)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == spec.tensor_shapes()
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.num_parameters()


def test_a_mixture_of_experts_is_not_trained() -> None:
    with pytest.raises(InputError, match="a mixture of 4 experts"):
        Transformer(replace(SPEC, num_experts=4, experts_per_token=2))


def test_a_fresh_model_guesses_evenly() -> None:
    torch.manual_seed(0)
    model = Transformer(SPEC)
    ids = torch.randint(0, SPEC.vocab_size, (4, 32))
    loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.roll(-1).flatten())
    assert abs(loss.item() - torch.tensor(SPEC.vocab_size).log().item()) < 0.05
