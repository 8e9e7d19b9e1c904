"""Which format a path holds: `open_foreign(path)`."""

from pathlib import Path

from bise.errors import InputError, NotFoundError
from bise.weights.formats import gguf, hugging_face, mistral
from bise.weights.formats.foreign import ForeignModel, refuse_code

READS = (
    "a Hugging Face directory (config.json and model*.safetensors), a Mistral directory (params.json and "
    "consolidated*.safetensors), or a GGUF file"
)


def open_foreign(path: Path) -> ForeignModel:
    """Open another program's model, whatever its format.

    Raises:
        NotFoundError: there is nothing.
        InputError: it is no model that Bise reads, or a damaged one.
    """
    if path.is_file():
        return gguf.read_gguf(path)
    if not path.is_dir():
        raise NotFoundError(f"There is nothing at {path}. Give a finished run, a model of Bise, {READS}.")
    if (path / hugging_face.CONFIG).is_file() and any(path.glob("model*.safetensors*")):
        return hugging_face.read_hugging_face(path)
    if (path / mistral.PARAMS).is_file():
        return mistral.read_mistral(path)
    files = sorted(path.glob("*.gguf"))
    if len(files) == 1:
        return gguf.read_gguf(files[0])
    refuse_code(path)
    if files:
        raise InputError(f"{path} holds {len(files)} GGUF files. Name one: {', '.join(file.name for file in files)}.")
    there = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise InputError(f"{path} is no model that Bise reads: it holds {there}. Bise reads {READS}.")
