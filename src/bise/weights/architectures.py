"""The architectures that Bise computes, and the shape that the config.json of each describes.

This is the one list of what is supported: readers of files ask `model_spec`, and its error prints the list. Where a file
leaves a value out, the default is that of `transformers` for the architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bise.errors import InputError
from bise.weights.rope import RopeKind, RopeScaling, yarn_attention_factor
from bise.weights.spec import ModelSpec

Config = Mapping[str, Any]

_MAX_LAYERS = 10_000  # far beyond any model: a file cannot ask for a list of a billion layers
_MAX_EXPERTS = 1024
_MAX_SIZE = 2**31 - 1
_MAX_NUMBER = 1e30
_ROPE_KINDS: dict[str, RopeKind] = {"linear": "linear", "llama3": "llama3", "yarn": "yarn"}


@dataclass(frozen=True)
class Architecture:
    """One family, and what its config.json means where it says nothing."""

    title: str  # what people call its models
    norm_eps: float = 1e-6
    head_dim: int | None = None  # None: hidden size over heads
    rope_theta: float = 10_000.0
    tied_embeddings: bool = False
    windows: Literal["never", "always", "on request"] = "never"  # on request: only with use_sliding_window
    sliding_window: int | None = None
    attention_bias: bool = False
    qk_norm: bool = False
    skips_rotation: bool = False  # every fourth layer has no rotary embedding
    num_experts: int = 0  # of a mixture of experts


# By `model_type` of config.json.
ARCHITECTURES = {
    "mistral": Architecture("Mistral 7B, Nemo, Small and Large", windows="always", sliding_window=4096),
    "ministral": Architecture("Ministral", windows="always", sliding_window=4096),
    "ministral3": Architecture("Ministral 3", norm_eps=1e-5, head_dim=128, rope_theta=1e6, windows="always"),
    "mixtral": Architecture("Mixtral", norm_eps=1e-5, rope_theta=1e6, windows="always", num_experts=8),
    "llama": Architecture("Llama 2 and 3, SmolLM and SmolLM2"),
    "smollm3": Architecture("SmolLM3", rope_theta=2e6, tied_embeddings=True, windows="on request", skips_rotation=True),
    "qwen2": Architecture("Qwen2 and Qwen2.5", sliding_window=4096, windows="on request", attention_bias=True),
    "qwen3": Architecture("Qwen3", head_dim=128, sliding_window=4096, windows="on request", qk_norm=True),
}
# Models that read images hold one of the above as their text tower.
_WITH_TEXT_TOWER = ("mistral3",)


def supported() -> str:
    """The architectures that Bise computes, for people."""
    listed = "; ".join(f"{name} ({architecture.title})" for name, architecture in ARCHITECTURES.items())
    return f"Bise computes {listed}; and the text tower of {', '.join(_WITH_TEXT_TOWER)} (Mistral Small 3.1 and later)."


def text_config(config: Config) -> Config:
    """The part of config.json that describes the text tower: all of it, unless the model reads images, too."""
    inner = config.get("text_config")
    return inner if config.get("model_type") in _WITH_TEXT_TOWER and isinstance(inner, Mapping) else config


def model_spec(config: Config, where: str) -> ModelSpec:
    """The shape that a config.json describes; `where` begins every error message.

    Raises:
        InputError: the architecture is not supported, uses something that is not, or cannot be a model.
    """
    fields = _Fields(text_config(config), where)
    name = fields.table.get("model_type")
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise InputError(f"{where}: the architecture {name!r} is not supported. {supported()}")
    _refuse_extras(fields, architecture)
    num_layers = fields.integer("num_hidden_layers", most=_MAX_LAYERS)
    num_heads, hidden_size = fields.integer("num_attention_heads"), fields.integer("hidden_size")
    context_length = fields.integer("max_position_embeddings")
    rope = _rope_table(fields)
    window, full_layers = _windows(fields, architecture, num_layers)
    mixes = architecture.num_experts > 0
    try:
        return ModelSpec(
            vocab_size=fields.integer("vocab_size"),
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=fields.integer("num_key_value_heads", num_heads),
            head_dim=fields.integer("head_dim", architecture.head_dim or hidden_size // num_heads),
            ffn_size=fields.integer("intermediate_size"),
            context_length=context_length,
            rope_theta=rope.number("rope_theta", fields.number("rope_theta", architecture.rope_theta)),
            norm_eps=fields.number("rms_norm_eps", architecture.norm_eps),
            tied_embeddings=fields.flag("tie_word_embeddings", architecture.tied_embeddings),
            sliding_window=window,
            full_attention_layers=full_layers,
            rope_scaling=_rope_scaling(rope, context_length),
            unrotated_layers=_unrotated_layers(fields, architecture, num_layers),
            attention_bias=architecture.attention_bias,
            qk_norm=architecture.qk_norm,
            num_experts=fields.integer("num_local_experts", architecture.num_experts, most=_MAX_EXPERTS)
            if mixes
            else 0,
            experts_per_token=fields.integer("num_experts_per_tok", 2, most=_MAX_EXPERTS) if mixes else 0,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


@dataclass(frozen=True)
class _Fields:
    """A table of config.json, read value by value; an absent or null value is its default."""

    table: Config
    where: str

    def integer(self, name: str, default: int | None = None, least: int = 1, most: int = _MAX_SIZE) -> int:
        value = self._value(name, default)
        if type(value) is not int or not least <= value <= most:
            raise InputError(
                f"{self.where}: {name} is {_short(value)}, but must be a whole number from {least} to {most:,}."
            )
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._value(name, default)
        if type(value) not in (int, float) or abs(value) > _MAX_NUMBER:
            raise InputError(f"{self.where}: {name} is {_short(value)}, but must be a number.")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if type(value) is not bool:
            raise InputError(f"{self.where}: {name} is {_short(value)}, but must be true or false.")
        return value

    def sequence(self, name: str, length: int) -> list[Any] | None:
        """A list of at least so many entries, cut to them."""
        value = self.table.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < length:
            raise InputError(f"{self.where}: {name} must be a list with an entry for each of the {length} layers.")
        return value[:length]

    def _value(self, name: str, default: Any) -> Any:
        value = self.table.get(name)
        if value is None and default is None:
            raise InputError(f"{self.where}: {name} is missing.")
        return default if value is None else value


def _short(value: object) -> str:
    """A value from a file as an error message shows it."""
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to write integers of many digits
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:80]


def _refuse_extras(fields: _Fields, architecture: Architecture) -> None:
    """Name what changes the computation and is not supported."""
    plain = {"hidden_act": "silu", "mlp_bias": False, "attention_bias": architecture.attention_bias}
    for name, value in (plain | {"partial_rotary_factor": 1.0}).items():
        found = fields.table.get(name)
        if found is not None and found != value:
            raise InputError(f"{fields.where}: {name} is {_short(found)}, but only {value!r} is supported.")


def _rope_table(fields: _Fields) -> _Fields:
    """What the file says about rotary embeddings, under its new or its old name."""
    for name in ("rope_parameters", "rope_scaling"):
        table = fields.table.get(name)
        if table is None:
            continue
        if not isinstance(table, Mapping) or any(isinstance(value, Mapping) for value in table.values()):
            raise InputError(f"{fields.where}: {name} must be one table of numbers and words for all layers.")
        return _Fields(table, f"{fields.where}: {name}")
    return _Fields({}, fields.where)


def _rope_scaling(rope: _Fields, context_length: int) -> RopeScaling | None:
    if rope.table.get("partial_rotary_factor") not in (None, 1.0):
        raise InputError(f"{rope.where}: partial_rotary_factor must be 1.")
    name = rope.table.get("rope_type", rope.table.get("type", "default"))
    if name == "default":
        return None
    if not isinstance(name, str) or name not in _ROPE_KINDS:
        raise InputError(
            f"{rope.where}: the kind {name!r} is not supported. Supported: default, {', '.join(_ROPE_KINDS)}."
        )
    original = rope.integer("original_max_position_embeddings", context_length)
    factor = rope.number("factor", context_length / original if name == "yarn" else None)
    plain = RopeScaling("linear")
    if name == "linear":
        return RopeScaling("linear", factor)
    if name == "llama3":
        low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        return RopeScaling("llama3", factor, original, low_freq_factor=low, high_freq_factor=high)
    mscale, mscale_all_dim = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    return RopeScaling(
        "yarn",
        factor,
        original,
        beta_fast=rope.number("beta_fast", plain.beta_fast),
        beta_slow=rope.number("beta_slow", plain.beta_slow),
        truncate=rope.flag("truncate", plain.truncate),
        attention_factor=rope.number("attention_factor", yarn_attention_factor(factor, mscale, mscale_all_dim)),
        query_beta=rope.number("llama_4_scaling_beta", 0.0),
    )


def _windows(fields: _Fields, architecture: Architecture, num_layers: int) -> tuple[int | None, tuple[int, ...]]:
    """The sliding window, if any layer has one, and the layers that have none."""
    if architecture.windows == "on request" and not fields.flag("use_sliding_window", False):
        return None, ()
    if architecture.windows == "never" or fields.table.get("sliding_window", architecture.sliding_window) is None:
        return None, ()
    window = fields.integer("sliding_window", architecture.sliding_window)
    kinds = fields.sequence("layer_types", num_layers) or _layer_types(fields, architecture, num_layers)
    unknown = [kind for kind in kinds if kind not in ("sliding_attention", "full_attention")]
    if unknown:
        raise InputError(
            f"{fields.where}: layer_types has {unknown[0]!r}; only sliding and full attention are supported."
        )
    full = tuple(layer for layer, kind in enumerate(kinds) if kind == "full_attention")
    return (None, ()) if len(full) == num_layers else (window, full)


def _layer_types(fields: _Fields, architecture: Architecture, num_layers: int) -> list[str]:
    """Which layers have the window, where the file does not list them."""
    if architecture.skips_rotation:
        with_window = set(_unrotated_layers(fields, architecture, num_layers))
    elif architecture.windows == "on request":
        with_window = set(range(fields.integer("max_window_layers", 28, least=0), num_layers))
    else:
        with_window = set(range(num_layers))
    return ["sliding_attention" if layer in with_window else "full_attention" for layer in range(num_layers)]


def _unrotated_layers(fields: _Fields, architecture: Architecture, num_layers: int) -> tuple[int, ...]:
    if not architecture.skips_rotation:
        return ()
    rotated = fields.sequence("no_rope_layers", num_layers)  # in spite of its name 1 is with, 0 without
    if rotated is None:
        interval = fields.integer("no_rope_layer_interval", 4)
        rotated = [(layer + 1) % interval for layer in range(num_layers)]
    return tuple(layer for layer, is_rotated in enumerate(rotated) if not is_rotated)
