"""Model directories to and from PyTorch: `spec.json` and `model.safetensors` under canonical names."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bise.errors import InputError, UnavailableError
from bise.model.transformer import Transformer
from bise.weights.spec import ModelSpec, read_spec, write_spec

WEIGHTS_FILE = "model.safetensors"


def save_model(directory: Path, model: Transformer, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the spec and the weights, the latter in `dtype`."""
    save_weights(directory, model.spec, {name: tensor.to(dtype) for name, tensor in model.state_dict().items()})


def save_weights(directory: Path, spec: ModelSpec, weights: Mapping[str, torch.Tensor]) -> None:
    """Write the spec, and weights under canonical names as floats."""
    directory.mkdir(parents=True, exist_ok=True)
    write_spec(directory, replace(spec, quantisation=None))
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    write_tensors(directory / WEIGHTS_FILE, tensors, {"format": "pt"})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file down to the disk.

    It takes its place by rename: afterwards the old file or the new one is whole, also after a power cut.

    Raises:
        UnavailableError: it could not be written, for example because the disk is full.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        save_file(dict(tensors), temporary, metadata=metadata)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        size = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
        raise UnavailableError(
            f"{path} could not be written: {error}. What was there before is whole. Make room for {size:,.1f} MB, then give "
            "the same command again."
        ) from None


def load_model(directory: Path) -> Transformer:
    """Read a model into float32, ready to be tuned.

    Raises:
        InputError: the directory holds no model, a quantised one, a damaged one, or one of another shape than its spec.
    """
    spec = read_spec(directory)
    if spec.quantisation is not None:
        raise InputError(
            f"{directory} is quantised to {spec.quantisation.bits} bits, so its weights cannot be trained. Tune an "
            "adapter beside them with an [adapter] section, or give the model it was quantised from."
        )
    tensors = _read_tensors(directory / WEIGHTS_FILE)
    _check_tensors(tensors, spec, directory / WEIGHTS_FILE)
    model = Transformer(spec)
    model.load_state_dict(tensors)
    return model


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path.parent} has a spec but no {path.name}. Pull or train the model again.") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged: {error}. Pull or train the model again.") from None


def _check_tensors(tensors: dict[str, torch.Tensor], spec: ModelSpec, path: Path) -> None:
    expected = spec.tensor_shapes()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise InputError(
            f"{path} does not hold the model that its spec.json describes: "
            f"missing {', '.join(missing[:3]) or 'nothing'}; unexpected {', '.join(extra[:3]) or 'nothing'}."
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise InputError(f"{path}: {name} has shape {tuple(tensors[name].shape)}, but its spec.json says {shape}.")
