"""What a model is: the shape of a Mistral-architecture decoder, and the names and layouts of its tensors.

Canonical names are those of Mistral's own format, one file of truth for model, engine and every import and export:

    tok_embeddings.weight                     [vocab_size, hidden_size]
    layers.{i}.attention_norm.weight          [hidden_size]
    layers.{i}.attention.wq.weight            [num_heads * head_dim, hidden_size]
    layers.{i}.attention.wk.weight, wv.weight [num_kv_heads * head_dim, hidden_size]
    layers.{i}.attention.wo.weight            [hidden_size, num_heads * head_dim]
    layers.{i}.attention.wq.bias              [num_heads * head_dim]      with attention_bias; wk, wv alike
    layers.{i}.attention.q_norm.weight, k_norm [head_dim]                 with qk_norm
    layers.{i}.ffn_norm.weight                [hidden_size]
    layers.{i}.feed_forward.w1.weight, w3     [ffn_size, hidden_size]   (w1 gate, w3 up)
    layers.{i}.feed_forward.w2.weight         [hidden_size, ffn_size]   (down)
    layers.{i}.feed_forward.gate.weight       [num_experts, hidden_size] the router of a mixture of experts, which has
    layers.{i}.feed_forward.experts.{e}.w1.weight, w3, w2                 w1, w3 and w2 for each expert instead
    norm.weight                               [hidden_size]
    output.weight                             [vocab_size, hidden_size] (absent when embeddings are tied)

The rotary embedding pairs dimension j with j + head_dim / 2 ("half-split", as Hugging Face does); Mistral's own files
interleave the pairs, so importing or exporting that format permutes the rows of wq and wk, and of their biases.

A quantised matrix `X.weight` [rows, columns] stands beside `X.scales`, float16 [rows, columns / group_size]; a weight is
its integer times the scale of its group. The integers are stored as

    8 bits    int8 [rows, columns], values -127..127
    4 bits    uint8 [rows, columns / 2], values -8..7 as value + 8: column 2j in the low half of byte j, 2j + 1 in the high
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from bise.config import from_table
from bise.errors import InputError
from bise.weights.rope import RopeScaling

SPEC_FILE = "spec.json"
_ROUTER = "feed_forward.gate.weight"


@dataclass(frozen=True)
class Quantisation:
    """Symmetric integer weights: groups of `group_size` along the input share one fp16 scale."""

    bits: int  # 8 or 4; embeddings have 8 in either case
    group_size: int  # 32
    eight_bits: tuple[str, ...] = ()  # matrices that have 8 bits where the others have 4, by canonical name


@dataclass(frozen=True)
class ModelSpec:
    """The shape of a decoder (Mistral 7B, arXiv 2310.06825), with what Llama, Qwen and SmolLM add to it."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int  # divides num_heads: grouped-query attention
    head_dim: int
    ffn_size: int
    context_length: int  # tokens
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tied_embeddings: bool = False
    sliding_window: int | None = None  # tokens that a token attends to, itself included; None: all before it
    quantisation: Quantisation | None = None
    full_attention_layers: tuple[int, ...] = ()  # layers that the sliding window does not bound
    rope_scaling: RopeScaling | None = None
    unrotated_layers: tuple[int, ...] = ()  # layers without rotary embedding (NoPE, arXiv 2305.19466)
    attention_bias: bool = False  # queries, keys and values have biases (Qwen2)
    qk_norm: bool = False  # each head's query and key has an RMS norm before it is rotated (Qwen3)
    num_experts: int = 0  # feed-forward networks of each layer (Mixtral, arXiv 2401.04088); 0: one, for every token
    experts_per_token: int = 0  # how many of them compute a token

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be a model."""
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim", "ffn_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if self.context_length < 1:
            raise ValueError(f"context_length is {self.context_length}, but must be at least 1.")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ValueError(f"sliding_window is {self.sliding_window}, but must be at least 1, or be left out.")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must be a multiple of num_kv_heads ({self.num_kv_heads}).")
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}, but rotary embeddings need an even number.")
        if not 1 < self.rope_theta < math.inf:
            raise ValueError(f"rope_theta is {self.rope_theta}, but must be a number above 1.")
        if not 0 <= self.norm_eps < 1:
            raise ValueError(f"norm_eps is {self.norm_eps}, but must be from 0 to below 1.")
        if not (0 < self.experts_per_token <= self.num_experts or self.num_experts == self.experts_per_token == 0):
            raise ValueError(
                f"experts_per_token is {self.experts_per_token}, but must be from 1 to num_experts ({self.num_experts})."
            )
        self._check_layers()

    def _check_layers(self) -> None:
        for name in ("full_attention_layers", "unrotated_layers"):
            layers = getattr(self, name)
            if list(layers) != sorted({layer for layer in layers if 0 <= layer < self.num_layers}):
                raise ValueError(
                    f"{name} is {list(layers)}, but must be numbers of layers, 0 to {self.num_layers - 1}, in order."
                )
        if self.full_attention_layers and self.sliding_window is None:
            raise ValueError("full_attention_layers is given, but without sliding_window every layer is one.")
        pairs = self.head_dim // 2
        if self.rope_scaling is not None and len(self.rope_scaling.factors) not in (0, pairs):
            raise ValueError(f"rope_scaling has {len(self.rope_scaling.factors)} factors, but head_dim needs {pairs}.")

    def layer_window(self, layer: int) -> int | None:
        """Tokens that a token attends to in a layer, itself included; None: all before it."""
        return None if layer in self.full_attention_layers else self.sliding_window

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the model must have, by canonical name, before quantisation."""
        hidden, ffn = self.hidden_size, self.ffn_size
        query, key_value = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (self.vocab_size, hidden)}
        for layer in range(self.num_layers):
            prefix = f"layers.{layer}."
            shapes |= {
                prefix + "attention_norm.weight": (hidden,),
                prefix + "attention.wq.weight": (query, hidden),
                prefix + "attention.wk.weight": (key_value, hidden),
                prefix + "attention.wv.weight": (key_value, hidden),
                prefix + "attention.wo.weight": (hidden, query),
                prefix + "ffn_norm.weight": (hidden,),
            }
            if self.num_experts:
                shapes[router_name(layer)] = (self.num_experts, hidden)
            for network in self.networks(layer):
                shapes |= {
                    network + "w1.weight": (ffn, hidden),
                    network + "w3.weight": (ffn, hidden),
                    network + "w2.weight": (hidden, ffn),
                }
            if self.attention_bias:
                sizes = (("wq", query), ("wk", key_value), ("wv", key_value))
                shapes |= {f"{prefix}attention.{name}.bias": (size,) for name, size in sizes}
            if self.qk_norm:
                shapes |= {f"{prefix}attention.{name}.weight": (self.head_dim,) for name in ("q_norm", "k_norm")}
        shapes["norm.weight"] = (hidden,)
        if not self.tied_embeddings:
            shapes["output.weight"] = (self.vocab_size, hidden)
        return shapes

    def networks(self, layer: int) -> list[str]:
        """What the names of each feed-forward network's matrices begin with: one, or the experts."""
        prefix = f"layers.{layer}.feed_forward."
        return [f"{prefix}experts.{expert}." for expert in range(self.num_experts)] or [prefix]

    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """The matrices, which may be integers: all tensors but vectors and routers, which are few and decide much."""
        routers = {router_name(layer) for layer in range(self.num_layers)} if self.num_experts else ()
        shapes = ((name, shape) for name, shape in self.tensor_shapes().items() if len(shape) == 2)
        return {name: (shape[0], shape[1]) for name, shape in shapes if name not in routers}

    @property
    def least_tensors(self) -> int:
        """Fewer than the model has: what a file must hold before a table of its tensors is made."""
        return self.num_layers * max(1, self.num_experts)

    def matrix_bits(self, name: str) -> int | None:
        """Bits of a matrix's integers by its canonical name; None where the model keeps floats.

        Embeddings keep 8 bits: a step reads one row of them a token, so they cost no speed, and of all matrices they
        suffer most from 4. Tied embeddings are the output head, too, which then has 8 bits as well.
        """
        if self.quantisation is None or name.endswith(_ROUTER):
            return None
        if name == "tok_embeddings.weight" or name in self.quantisation.eight_bits:
            return 8
        return self.quantisation.bits

    def num_parameters(self) -> int:
        """Count of weights, tied embeddings once."""
        total = 0
        for shape in self.tensor_shapes().values():
            total += shape[0] * (shape[1] if len(shape) == 2 else 1)
        return total


def joined_matrices(spec: ModelSpec) -> list[tuple[str, ...]]:
    """Matrices that read the same input: the engine packs them together, so they have the same bits."""
    joined: list[tuple[str, ...]] = []
    for layer in range(spec.num_layers):
        joined.append(tuple(f"layers.{layer}.attention.{name}.weight" for name in ("wq", "wk", "wv")))
        joined += [(network + "w1.weight", network + "w3.weight") for network in spec.networks(layer)]
    return joined


def router_name(layer: int) -> str:
    """The canonical name of the matrix that chooses a layer's experts."""
    return f"layers.{layer}.{_ROUTER}"


def write_spec(directory: Path, spec: ModelSpec) -> None:
    """Write spec.json."""
    (directory / SPEC_FILE).write_text(json.dumps(asdict(spec), indent=2) + "\n", encoding="utf-8")


def read_spec(directory: Path) -> ModelSpec:
    """Read spec.json.

    Raises:
        InputError: the file is missing, damaged or describes no possible model.
    """
    path = directory / SPEC_FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{directory} is not a Bise model: it has no {SPEC_FILE}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}. Pull or train the model again.") from None
    if not isinstance(table, dict):
        raise InputError(f"{path} holds {type(table).__name__}, not a table. Pull or train the model again.")
    return from_table({key: value for key, value in table.items() if value is not None}, ModelSpec, where=str(path))
