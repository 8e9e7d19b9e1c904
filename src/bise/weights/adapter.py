"""LoRA adapters as files (arXiv 2106.09685), in the format of peft, so that other tools read ours and we read theirs.

An adapter is a directory with `adapter_config.json` and `adapter_model.safetensors`. A matrix W [rows, columns] with an
adapter of rank r counts as W + alpha / r * B A, with A [r, columns] and B [rows, r]. Files name matrices as Hugging Face
models do, whose rotary layout is ours; everything here uses canonical names.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from bise.errors import InputError, NotFoundError
from bise.runs import write_atomically
from bise.weights.spec import ModelSpec

CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
# The matrices of a layer that may have an adapter: canonical name -> peft's.
MODULES = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}
TARGETS = tuple(name.split(".")[1] for name in MODULES)
_PREFIX = "base_model.model.model.layers."
_PLAIN = {"bias": "none", "fan_in_fan_out": False, "use_dora": False, "rank_pattern": {}, "alpha_pattern": {}}


@dataclass(frozen=True)
class AdapterSpec:
    """The shape of an adapter."""

    rank: int
    alpha: float
    targets: tuple[str, ...]  # of TARGETS
    base: str = ""  # the model it was made for, for people to read

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}, but must be at least 1.")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}, but must be above 0.")
        unknown = sorted(set(self.targets) - set(TARGETS))
        if unknown or not self.targets:
            raise ValueError(f"targets names {', '.join(unknown) or 'nothing'}. Name some of {', '.join(TARGETS)}.")

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank

    def matrices(self, num_layers: int) -> list[str]:
        """The canonical names of all matrices with an adapter, such as "layers.0.attention.wq"."""
        modules = [module for module in MODULES if module.split(".")[1] in self.targets]
        return [f"layers.{layer}.{module}" for layer in range(num_layers) for module in modules]

    def tensor_shapes(self, model: ModelSpec) -> dict[str, tuple[int, int]]:
        """Every tensor of the adapter by its name in the file.

        Raises:
            InputError: it is for matrices that the model does not have.
        """
        weights = model.tensor_shapes()
        shapes: dict[str, tuple[int, int]] = {}
        possible = possible_targets(model)
        if not set(self.targets) <= set(possible):
            raise InputError(
                f"The adapter changes {', '.join(self.targets)}, but the model is a mixture of experts, where Bise has "
                f"adapters of {', '.join(possible)} alone. Make one with some of these as targets."
            )
        for matrix in self.matrices(model.num_layers):
            rows, columns = weights[f"{matrix}.weight"]
            shapes[tensor_name(matrix, "A")] = (self.rank, columns)
            shapes[tensor_name(matrix, "B")] = (rows, self.rank)
        return shapes


def possible_targets(model: ModelSpec) -> tuple[str, ...]:
    """The targets that an adapter of a model can have: not those of experts."""
    experts = [name for name in MODULES if model.num_experts and name.startswith("feed_forward.")]
    return tuple(name.split(".")[1] for name in MODULES if name not in experts)


def tensor_name(matrix: str, side: str) -> str:
    """Peft's name of side "A" or "B" of the adapter of a matrix with a canonical name."""
    _, layer, module = matrix.split(".", 2)
    return f"{_PREFIX}{layer}.{MODULES[module]}.lora_{side}.weight"


def write_config(directory: Path, spec: AdapterSpec) -> None:
    """Write adapter_config.json as peft reads it."""
    peft_names = [MODULES[module].split(".")[1] for module in MODULES if module.split(".")[1] in spec.targets]
    table = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": spec.base,
        "r": spec.rank,
        "lora_alpha": spec.alpha,
        "lora_dropout": 0.0,
        "target_modules": peft_names,
        "inference_mode": True,
        **_PLAIN,
    }
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / CONFIG_FILE, json.dumps(table, indent=2) + "\n")


def read_config(directory: Path) -> AdapterSpec:
    """Read adapter_config.json.

    Raises:
        NotFoundError: there is none.
        InputError: it is damaged, or describes something else than plain LoRA on matrices of TARGETS.
    """
    path = directory / CONFIG_FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        kind, rank, alpha, modules = table["peft_type"], table["r"], table["lora_alpha"], table["target_modules"]
    except FileNotFoundError:
        raise NotFoundError(f"There is no adapter at {directory}: it has no {CONFIG_FILE}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error!r}. Make or fetch the adapter again.") from None
    special = [key for key, value in _PLAIN.items() if (table.get(key) or value) != value]
    if kind != "LORA" or special or table.get("modules_to_save") or table.get("use_rslora"):
        raise InputError(
            f"{path} describes {kind} with {', '.join(special) or 'further trained modules'}. "
            "Bise reads plain LoRA: one rank and alpha for all matrices, no biases, no further modules."
        )
    short = {peft.split(".")[1]: name.split(".")[1] for name, peft in MODULES.items()}
    names = _strings(modules, path)
    unknown = sorted(set(names) - set(short))
    if unknown or not isinstance(rank, int) or not isinstance(alpha, int | float):
        raise InputError(
            f"{path} has rank {rank!r}, alpha {alpha!r} and target modules {', '.join(names)}. "
            f"Modules that can have an adapter: {', '.join(short)}."
        )
    base = table.get("base_model_name_or_path")
    try:
        targets = tuple(target for target in TARGETS if target in {short[name] for name in names})
        return AdapterSpec(rank, float(alpha), targets, base if isinstance(base, str) else "")
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def check_tensors(found: dict[str, tuple[int, ...]], spec: AdapterSpec, model: ModelSpec, path: Path) -> None:
    """Refuse a file whose tensors (name -> shape) are not exactly those of the adapter for this model.

    Raises:
        InputError: tensors are missing, unexpected or of another shape.
    """
    expected = spec.tensor_shapes(model)
    odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if not odd:
        return
    name = odd[0]
    says = f"has {name} with shape {found[name]}" if name in found else f"has no {name}"
    wanted = f"needs shape {expected[name]}" if name in expected else "has no such matrix"
    raise InputError(
        f"{path} {says}, but the model {wanted}; {len(odd)} tensors do not fit in all. "
        "Use the adapter with the model it was made for."
    )


def _strings(value: object, path: Path) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return [str(entry).rsplit(".", 1)[-1] for entry in value]
    raise InputError(f"{path}: target_modules is {value!r}, but must be a list of names.")
