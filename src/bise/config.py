"""Strict TOML recipes as frozen dataclasses, and every environment variable that Bise reads.

A recipe is a dataclass beside the code that uses it. Unknown keys and wrong types are errors that name the key and
list what is allowed, before any work starts. `--set train.steps=50` overrides one value by its dotted path.
"""

import dataclasses
import os
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from bise.errors import InputError

Recipe = TypeVar("Recipe")


def home() -> Path:
    """Where models and the database live: `BISE_HOME`, else `$XDG_DATA_HOME/bise`, else `~/.local/share/bise`."""
    explicit = os.environ.get("BISE_HOME")
    if explicit:
        return Path(explicit).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "bise"


def database_url() -> str | None:
    """The database to use instead of a file below the home directory: `BISE_DATABASE`, as an SQLAlchemy URL."""
    return os.environ.get("BISE_DATABASE") or None


def cache_home() -> Path:
    """Where things live that can be made again, such as compiled kernels: `$XDG_CACHE_HOME/bise` or `~/.cache/bise`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bise"


def instruction_set() -> str:
    """The instruction set that the engine's kernels are to use: `BISE_INSTRUCTION_SET`, else "auto"."""
    return os.environ.get("BISE_INSTRUCTION_SET") or "auto"


def ollama_directories() -> list[Path]:
    """Where Ollama keeps models: `OLLAMA_MODELS`, else its folders for one user and for a service."""
    explicit = os.environ.get("OLLAMA_MODELS")
    usual = [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]
    return [path for path in ([Path(explicit).expanduser()] if explicit else usual) if os.access(path, os.R_OK)]


def lm_studio_directories() -> list[Path]:
    """Where LM Studio keeps models, in its newer and older versions."""
    usual = (Path("~/.lmstudio/models"), Path("~/.cache/lm-studio/models"))
    return [path for directory in usual if os.access(path := directory.expanduser(), os.R_OK)]


def named_variable(name: str) -> str:
    """A key that the user keeps in a variable and names to a command, as `--key-env` does.

    Raises:
        InputError: there is no such variable, or it is empty.
    """
    if not (value := os.environ.get(name)):
        raise InputError(f"The environment has no variable {name}. Set it to the key, or name another one.")
    return value


def apart_environment(directory: Path) -> dict[str, str]:
    """The environment of a program of ours that is to keep its home and database in a directory of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("BISE_DATABASE", "DISPLAY")}
    return kept | {"BISE_HOME": str(directory)}


def stay_offline() -> None:
    """Tell the libraries of Hugging Face, before they are imported, that nothing is to be fetched or drawn."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_UPDATE_DOWNLOAD_COUNTS="0", TQDM_DISABLE="1")


def has_display() -> bool:
    """Whether opening a browser window can work here."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def load_recipe(path: Path, recipe_type: type[Recipe], overrides: Sequence[str] = ()) -> Recipe:
    """Read a TOML file into `recipe_type`; each override is `dotted.key=value`, the value in TOML syntax or bare text.

    Raises:
        InputError: the file is missing or not TOML, a key is unknown or missing, or a value has the wrong type.
    """
    table = read_toml(path)
    for override in overrides:
        apply_override(table, override)
    return from_table(table, recipe_type, where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file, or say in one sentence why it cannot be."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no recipe at {path}. Give the path of a TOML file, for example recipes/tiny/curate.toml."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The recipe {path} could not be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The recipe {path} is not valid TOML: {error}.") from None


def apply_override(table: dict[str, Any], override: str) -> None:
    """Put one `dotted.key=value` into a parsed recipe, in place."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {override} has no '='. Write it as --set section.key=value.")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {section} is a value, not a section of the recipe.")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text


def from_table(table: Mapping[str, Any], recipe_type: type[Recipe], where: str) -> Recipe:
    """Build a frozen dataclass from a mapping; `where` begins every error message."""
    assert dataclasses.is_dataclass(recipe_type)
    hints = typing.get_type_hints(recipe_type)
    fields = {field.name: field for field in dataclasses.fields(recipe_type)}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise InputError(f"{where}: unknown key {', '.join(unknown)}. Known keys here: {', '.join(sorted(fields))}.")
    missing = [name for name, field in fields.items() if name not in table and _required(field)]
    if missing:
        raise InputError(f"{where}: missing key {', '.join(missing)}.")
    values = {name: _convert(value, hints[name], f"{where}: {name}") for name, value in table.items()}
    try:
        return typing.cast(Recipe, recipe_type(**values))
    except ValueError as error:  # a __post_init__ check of the recipe's own
        raise InputError(f"{where}: {error}") from None


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        _expect(value, dict, "a table", where)
        return from_table(value, hint, where)
    if origin in (types.UnionType, typing.Union):
        return _convert(value, next(h for h in typing.get_args(hint) if h is not types.NoneType), where)
    if origin is Literal:
        if value not in typing.get_args(hint):
            choices = ", ".join(repr(choice) for choice in typing.get_args(hint))
            raise InputError(f"{where} is {value!r}, but must be one of {choices}.")
        return value
    if origin is tuple:
        _expect(value, list, "a list", where)
        item = typing.get_args(hint)[0]
        return tuple(_convert(entry, item, f"{where}[{index}]") for index, entry in enumerate(value))
    if origin in (dict, Mapping):
        _expect(value, dict, "a table", where)
        item = typing.get_args(hint)[1]
        return {key: _convert(entry, item, f"{where}.{key}") for key, entry in value.items()}
    return _convert_scalar(value, hint, where)


def _convert_scalar(value: Any, hint: type, where: str) -> Any:
    if hint is Path:
        _expect(value, str, "a path in quotes", where)
        return Path(value).expanduser()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    names = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
    assert hint in names, f"{where}: recipes cannot hold a {hint}"
    if type(value) is not hint:
        raise InputError(f"{where} is {value!r}, but must be {names[hint]}.")
    return value


def _expect(value: Any, kind: type, words: str, where: str) -> None:
    if not isinstance(value, kind):
        raise InputError(f"{where} is {value!r}, but must be {words}.")
