"""What every format gives when it reads a model, and what all of them check."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.gguf import Value
from bise.weights.files import Weights
from bise.weights.spec import ModelSpec
from bise.weights.tensors import Stored

_MAX_JSON_BYTES = 64 << 20  # the largest tokenizer.json of open models has 35 MB
_RUNS_CODE = {
    ".bin", ".bz2", ".ckpt", ".dill", ".h5", ".joblib", ".keras", ".mar", ".npy", ".npz", ".nemo", ".pkl", ".pickle", ".pt",
    ".pth", ".py", ".pyc", ".so", ".whl",
}  # fmt: skip


_TOKENIZER = re.compile(
    r"tekken\.json|tokenizer\.(json|gguf)|tokenizer\.model(\.v\d+\w*)?|tokenizer_config\.json|special_tokens_map\.json|"
    r"added_tokens\.json|chat_template\.jinja|generation_config\.json"
)


def tokenizer_files(directory: Path) -> tuple[Path, ...]:
    """The files of a tokenizer, and of how the model wants to be asked; all are data."""
    return tuple(sorted(path for path in directory.iterdir() if is_tokenizer_file(path.name) and path.is_file()))


def is_tokenizer_file(name: str) -> bool:
    """Whether a file belongs to a tokenizer, by its name."""
    return _TOKENIZER.fullmatch(name) is not None


@dataclass(frozen=True)
class ForeignModel:
    """A model of another program, opened and checked: nothing has been read but headers."""

    format: str  # for people
    weights: Weights
    tokenizer_files: tuple[Path, ...] = ()  # to be copied as they are
    vocabulary: Mapping[str, Value] = field(default_factory=dict)  # a GGUF file's tokenizer.* metadata
    notes: tuple[str, ...] = ()  # sentences about what is not taken over, or changes
    licence: str = ""
    source_files: tuple[Path, ...] = ()  # of the weights


def refuse_code(directory: Path) -> None:
    """Refuse a directory with files that run code when they are loaded; there is no switch to allow them.

    Raises:
        InputError: it holds one, with its name.
    """
    found = sorted(path.name for path in directory.iterdir() if path.suffix.lower() in _RUNS_CODE and path.is_file())
    if found:
        raise InputError(
            f"{directory} holds {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}. Files of these kinds can "
            "run code when they are loaded, so Bise takes nothing from beside them. Copy the safetensors files, config "
            "and tokenizer into a directory of their own, or fetch a version of the model without them."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top is a table.

    Raises:
        InputError: the file is missing, too large, or something else.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than any such file needs. Fetch it again.")
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: it is not JSON. Fetch it again.") from None
    if not isinstance(table, dict):
        raise InputError(f"{path} holds a {type(table).__name__}, not a table. Fetch it again.")
    return table


def arrange(
    path: Path, spec: ModelSpec, found: Mapping[str, Stored], foreign_name: Callable[[str], str]
) -> dict[str, Stored]:
    """The tensors that the spec asks for, under canonical names, their shapes checked.

    Raises:
        InputError: one is missing, of another shape, or integers where the spec has none.
    """
    if spec.least_tensors > len(found):
        raise InputError(f"{path} has {len(found)} tensors, too few for the {spec.num_layers} layers of its config.")
    tensors: dict[str, Stored] = {}
    for name, shape in spec.tensor_shapes().items():
        tensor = found.get(foreign_name(name))
        if tensor is None:
            raise InputError(f"{path} has no tensor {foreign_name(name)}, which its config asks for. Fetch it again.")
        if tensor.shape != shape:
            raise InputError(f"{path}: {foreign_name(name)} has shape {tensor.shape}, but its config asks for {shape}.")
        tensors[name] = tensor
    return tensors


def left_over(path: Path, found: Iterable[str], used: Iterable[str], ignored: Callable[[str], bool]) -> tuple[str, ...]:
    """Refuse tensors that the model does not know; the note tells of those that are known to belong to other parts.

    Raises:
        InputError: a tensor is neither used nor known.
    """
    rest = sorted(set(found) - set(used))
    unknown = [name for name in rest if not ignored(name)]
    if unknown:
        raise InputError(
            f"{path} holds {len(unknown)} tensors that its config does not explain, such as {unknown[0]}. Bise does not "
            "have this architecture."
        )
    return (f"{len(rest)} tensors of other parts, such as {rest[0]}, were left out.",) if rest else ()
