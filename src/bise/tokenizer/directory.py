"""The files of a Hugging Face directory that make its tokenizer: tokenizer.json and what stands beside it."""

import json
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.tokenizer.hugging_face import HuggingFaceCodec, Parts
from bise.tokenizer.template import Template

CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
GENERATION_FILE = "generation_config.json"
_MAX_FILE_BYTES = 64 << 20  # the largest tokenizer.json of open models has 35 MB


def load_directory(path: Path) -> HuggingFaceCodec:
    """Load a tokenizer.json with its neighbours.

    Raises:
        InputError: a file is missing, damaged or of a kind that Bise does not read.
    """
    directory = path.parent
    neighbours = [directory / name for name in (CONFIG_FILE, TEMPLATE_FILE, GENERATION_FILE)]
    config, generation = (_read_table(file) if file.is_file() else {} for file in neighbours[::2])
    stops = generation.get("eos_token_id")
    return HuggingFaceCodec(
        Parts(
            files=(path, *(file for file in neighbours if file.is_file())),
            table=_read_table(path),
            special=_special_names(config),
            stop_ids=tuple(stop for stop in (stops if isinstance(stops, list) else [stops]) if type(stop) is int),
            templates=_read_templates(config, directory),
        )
    )


def _read_table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(
                f"{path} has {path.stat().st_size:,} bytes, more than any such file needs. Fetch it again."
            )
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {str(error)[:200]}. Fetch it again.") from None
    if not isinstance(table, dict):
        raise InputError(f"{path} holds {type(table).__name__}, not a table. Fetch it again.")
    return table


def _special_names(config: dict[str, Any]) -> dict[str, str]:
    named = {}
    for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
        value = config.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            named[key] = value
    return named


def _read_templates(config: dict[str, Any], directory: Path) -> dict[str, Template]:
    where = str(directory)
    if (directory / TEMPLATE_FILE).is_file():
        return {"default": Template((directory / TEMPLATE_FILE).read_text(encoding="utf-8", errors="replace"), where)}
    found = config.get("chat_template")
    if isinstance(found, str):
        return {"default": Template(found, where)}
    entries = found if isinstance(found, list) else []
    named = {entry.get("name"): entry.get("template") for entry in entries if isinstance(entry, dict)}
    return {str(name): Template(text, where) for name, text in named.items() if isinstance(text, str)}
