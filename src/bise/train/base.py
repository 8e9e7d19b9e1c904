"""The weights that a run starts from: those of another run, or a model in the store."""

from pathlib import Path

from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, Input, read_manifest, run_input
from bise.weights.store import find_model


def find_base(base: Path) -> tuple[Path, Input]:
    """The model directory of a finished training or tuning run, or of a model in the store by its name.

    Raises:
        NotFoundError: there is no such run and no such model.
        InputError: it is another kind of run.
    """
    if len(base.parts) == 1 and not (base / MANIFEST).exists():
        try:
            directory = find_model(str(base))
        except NotFoundError as error:
            raise NotFoundError(f"There is no run at {base}. {error}") from None
        return directory, run_input(directory)
    stage = read_manifest(base).stage
    if stage not in ("train", "tune", "model"):
        raise InputError(f"{base} holds a {stage} run, but the base must be a training or tuning run, or a model.")
    return (base if stage == "model" else base / "model"), run_input(base)
