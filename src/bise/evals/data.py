"""Files of questions: JSON lines, plain or as .xz, below the directory that the user names. None ships with the package."""

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bise.errors import InputError, NotFoundError
from bise.evals.results import DataFile
from bise.evals.shapes import Shape, anything, missing_fields
from bise.runs import sha256_file

Record = dict[str, Any]
_ENDINGS = (".jsonl", ".jsonl.xz")


@dataclass(frozen=True)
class Questions:
    """The files of one set of questions, and what each of their lines holds."""

    name: str  # path below the root without part number and ending: "mgsm/de"
    fields: Mapping[str, Shape]  # that every line has


def find_files(root: Path | None, questions: Questions) -> tuple[Path, ...]:
    """The files of a set, by name: NAME.jsonl, NAME-00.jsonl.xz and so on.

    Raises:
        InputError: no root was named.
        NotFoundError: there is none; the message says what was expected.
    """
    expected = f"lines of JSON with {', '.join(questions.fields)}"
    if root is None:
        raise InputError(
            f"The questions are not part of Bise. Name the directory that holds {questions.name}.jsonl ({expected}) "
            "with --set data.root=DIR. docs/evaluate.md says where they come from."
        )
    directory, stem = (root / questions.name).parent, Path(questions.name).name
    found = sorted(
        path
        for path in (directory.glob(f"{stem}*") if directory.is_dir() else ())
        if path.name.endswith(_ENDINGS)
        and (rest := path.name.removeprefix(stem))[0] in ".-"
        and rest.split(".")[0].strip("-0123456789") == ""
    )
    if not found:
        raise NotFoundError(f"There is no {root / questions.name}.jsonl or …-00.jsonl.xz. Expected: {expected}.")
    return tuple(found)


def read_records(files: Sequence[Path], fields: Mapping[str, Shape], whole: Shape = anything) -> Iterator[Record]:
    """Every line of the files; `whole` looks at a record whose fields are right by themselves.

    Raises:
        InputError: a file cannot be read, or a line is not JSON, lacks a field, or has another kind of value than it must;
            file, line and field are named.
    """
    for path in files:
        reader = lzma.open if path.suffix == ".xz" else open
        try:
            with reader(path, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _record(line, fields, whole, f"{path}, line {number},")
        except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from None


def sample(records: Iterator[Record], limit: int | None, seed: int) -> list[Record]:
    """All records, or some drawn by chance: the same for the same seed, and a smaller limit's are among a larger one's."""
    found = list(records)
    if limit is None or limit >= len(found):
        return found
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[index] for index in order[:limit].tolist()]


def data_files(files: Sequence[Path], root: Path | None) -> tuple[DataFile, ...]:
    """Files as a protocol names them."""
    return tuple(
        DataFile(str(path.relative_to(root)) if root and path.is_relative_to(root) else path.name, sha256_file(path))
        for path in files
    )


def _record(line: str, fields: Mapping[str, Shape], whole: Shape, where: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}.") from None
    if missing := missing_fields(record, fields):
        raise InputError(f"{where} has no {', '.join(missing)}. Expected: a JSON object with {', '.join(fields)}.")
    wrong = (f"{field}{told}" for field, shape in fields.items() if (told := shape(record[field])))
    try:
        told = next(wrong, "") or whole(record)
    except RecursionError:
        told = "it is nested too deeply"
    if told:
        raise InputError(f"{where} is damaged: {told}.")
    return dict(record)
