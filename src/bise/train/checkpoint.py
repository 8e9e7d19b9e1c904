"""An unfinished run: what it was begun with, and how far it is.

`begun.json` holds the resolved recipe and the hashes of the inputs; the same command finds it and continues, another
one is refused. `checkpoint.safetensors` holds weights, optimiser state and the step: with a data order that depends on
the step alone, nothing else is needed to continue bit for bit.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from bise.errors import InputError
from bise.model.files import write_tensors
from bise.model.transformer import Transformer
from bise.runs import Input, RunDirectory, write_atomically
from bise.train.optimizer import Optimizer
from bise.train.step import Precision

BEGUN = "begun.json"
_CHECKPOINT = "checkpoint.safetensors"
_METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int = 0  # steps done
    num_targets: int = 0  # tokens learned from
    seconds: float = 0.0  # spent in steps, over all sittings
    num_places: int = 0  # tokens computed, padding and those without loss included
    world_size: int = 1  # processes that share the steps; the data order is that of one, whatever their number


@dataclass(frozen=True)
class Choices:
    """What was chosen for this machine when a run began, and holds to its end: all of it changes how results are rounded."""

    precision: Precision
    is_compiled: bool


def begin_or_continue(
    run: RunDirectory, config: Mapping[str, object], inputs: tuple[Input, ...], choices: Choices
) -> Choices:
    """Record what the run is begun with, or check that it is continued with the same.

    Returns:
        The choices that the run was begun with.

    Raises:
        InputError: the run was begun with another recipe, other inputs, or its record is damaged.
    """
    path = run.path / BEGUN
    now = _flatten({"recipe": dict(config), "inputs": {entry.name: entry.sha256 for entry in inputs}})
    now = json.loads(json.dumps(now, default=str))
    if not path.exists():
        write_atomically(path, json.dumps({"choices": asdict(choices), **now}, indent=2) + "\n")
        return choices
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        begun_choices = Choices(**begun.pop("choices"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error!r}. Delete {run.path} and begin again.") from None
    changed = sorted(key for key in begun.keys() | now.keys() if begun.get(key) != now.get(key))
    if changed:
        differences = "; ".join(f"{key} was {begun.get(key)!r}, now {now.get(key)!r}" for key in changed[:3])
        raise InputError(
            f"{run.path} holds an unfinished run that was begun differently: {differences}. "
            "Continue it with the old values, choose another name with --set name=…, or delete it."
        )
    return begun_choices


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def save_checkpoint(run: RunDirectory, model: Transformer, optimizer: Optimizer, progress: Progress) -> None:
    """Replace the run's checkpoint.

    Raises:
        UnavailableError: the disk is full; the checkpoint before is whole.
    """
    tensors = {f"model.{name}": tensor for name, tensor in _trained(model).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer.state_tensors().items()}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_tensors(run.path / _CHECKPOINT, contiguous, {"progress": json.dumps(asdict(progress))})


def load_checkpoint(run: RunDirectory, model: Transformer, optimizer: Optimizer) -> Progress:
    """Take up the run's checkpoint, if there is one, and forget the metrics of later steps.

    Raises:
        InputError: the checkpoint is damaged.
    """
    path = run.path / _CHECKPOINT
    if not path.exists():
        _forget_metrics_after(run, 0)
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress = Progress(**json.loads(file.metadata()["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error!r}. Delete it to begin this run again.") from None
    with torch.no_grad():
        for name, tensor in _trained(model).items():
            tensor.copy_(tensors[f"model.{name}"])
    optimizer.load_state_tensors(_below(tensors, "optimizer."))
    _forget_metrics_after(run, progress.step)
    return progress


def remove_checkpoint(run: RunDirectory) -> None:
    """Delete what only an unfinished run needs."""
    for name in (_CHECKPOINT, _CHECKPOINT + ".part", BEGUN):
        (run.path / name).unlink(missing_ok=True)


def _trained(model: Transformer) -> dict[str, torch.Tensor]:
    """The weights that change; frozen ones are read from the base again."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _forget_metrics_after(run: RunDirectory, step: int) -> None:
    path = run.path / _METRICS
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= step] if step else []
    write_atomically(path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
    """The step of a line of metrics; beyond all steps for one that was cut off as it was written."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
