"""Models into the store: a finished run, a model of ours, or another program's, whole and checked or not at all.

Work goes on in a hidden directory beside the models, under a lock; when it is stopped, the same call goes on from there.
The manifest is written last, and the directory then gets its name.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bise.errors import BiseError, InputError
from bise.gguf import Value, write_gguf
from bise.runs import (
    MANIFEST,
    Input,
    Manifest,
    file_input,
    hash_outputs,
    read_manifest,
    run_input,
    sha256_file,
    write_atomically,
    write_manifest,
)
from bise.weights.examine import examine
from bise.weights.files import WEIGHTS_FILE, Weights, open_weights, write_in_place
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.foreign import ForeignModel, tokenizer_files
from bise.weights.quantise import SEARCHED, Progress, Scales, convert, rounding_error
from bise.weights.spec import SPEC_FILE, write_spec
from bise.weights.store import CARD_FILE, check_name, models_directory, part_directory, shipped_directory

TOKENIZER_FILE = "tekken.json"
VOCABULARY_FILE = "tokenizer.gguf"  # a GGUF file without tensors: the vocabulary as llama.cpp's own files have it
ERRORS_FILE = "quantisation.json"
_TEKKEN_KEY = "bise.tekken"  # our GGUF files carry the tekken file itself
_NOTE = "pull.json"
_MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where a model comes from."""

    path: Path
    origin: str = ""  # what the user would type, when that is not the path
    in_place: bool = False  # leave the weights where they lie
    licence: str = ""


@dataclass(frozen=True)
class Pulled:
    """A model that is now in the store."""

    path: Path
    notes: tuple[str, ...] = ()
    errors: Mapping[str, float] = field(default_factory=dict)  # of each rounded matrix, relative


def pull(
    source: Source,
    name: str,
    precision: str | None = None,
    companions: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    examine_tokenizer: Callable[[Path, int], None] | None = None,
    scales: Scales = SEARCHED,
) -> Pulled:
    """Take a model into the store as `name`.

    Args:
        source: a finished train or tune run, a model of ours, or a path that `formats` reads.
        name: what it will be called.
        precision: of `quantise.PRECISIONS`; None keeps it.
        companions: file name -> text that goes along, such as a card instead of the source's.
        progress: told of the weights done.
        examine_tokenizer: given another program's model and the size of its vocabulary, raises InputError when nobody
            could talk to it.
        scales: of four-bit groups.

    Raises:
        NotFoundError: there is nothing at the source, or its run did not finish.
        InputError: the model is damaged, the name is taken or not a name, or the precision cannot be had.
    """
    check_name(name)
    if shipped_directory(name).exists():
        raise InputError(f"{name} is the name of a model in the package. Choose another with --name.")
    target = models_directory() / name
    if target.exists():
        raise InputError(f"There already is a model named {name}. Choose another name, or: bise models remove {name}")
    started = time.monotonic()
    rounding = _Rounding(precision, scales, progress)
    with _part(name, _identity(source, rounding)) as part:
        if is_ours(source.path):
            parent, facts, notes = _take_ours(source.path, part, rounding)
        else:
            model = _open_foreign(source.path, examine_tokenizer)
            parent, facts, notes = _take_foreign(source, model, part, rounding)
        for file, text in (companions or {}).items():
            (part / file).write_text(text, encoding="utf-8")
        manifest = Manifest(
            stage="model",
            name=name,
            config={"source": source.origin or source.path.name, "bits": precision, "scales": scales.kind},
            inputs=(parent,),
            outputs=hash_outputs(part),
            facts={**facts, **_shape_facts(open_weights(part))},
            seconds=round(time.monotonic() - started, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_manifest(part, manifest)
        part.rename(target)
    return Pulled(target, notes, read_errors(target))


def _shape_facts(weights: Weights) -> dict[str, object]:
    spec = weights.spec
    facts: dict[str, object] = {"parameters": spec.num_parameters(), "context_length": spec.context_length}
    if spec.quantisation is None:
        facts["float_type"] = weights.stored["layers.0.feed_forward.w1.weight"].dtype
    return facts


def open_original(source: Source) -> Weights:
    """The weights that a pull took in, as they were."""
    return open_weights(resolve_run(source.path)[0]) if is_ours(source.path) else open_foreign(source.path).weights


def suggested_name(source: Source) -> str:
    """A model's name from where it comes from: the last words of its address or path."""
    text = source.origin.split("@")[0].removeprefix("hf:").removeprefix("ollama:") or source.path.resolve().name
    last = text.rsplit("/", 1)[-1].removesuffix(".gguf").replace(":", "-")
    return "".join(mark if (mark.isalnum() and mark.isascii()) or mark in "._-" else "-" for mark in last).strip("._-")[
        :64
    ]


def read_errors(directory: Path) -> dict[str, float]:
    """What rounding did to each matrix of a stored model; nothing when it was not rounded here."""
    path = directory / ERRORS_FILE
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {str(name): float(error) for name, error in table.items()}


def is_ours(path: Path) -> bool:
    """A model of ours or a run, be it an unfinished one."""
    is_run = path.parent.name in ("curate", "tokenizer", "train", "tune")
    return path.is_dir() and (is_run or any((path / name).is_file() for name in (SPEC_FILE, MANIFEST)))


@dataclass(frozen=True)
class _Rounding:
    """What is to be done to the weights."""

    precision: str | None
    scales: Scales
    progress: Progress | None


def _take_ours(source: Path, part: Path, rounding: _Rounding) -> tuple[Input, dict[str, object], tuple[str, ...]]:
    directory, parent, facts = resolve_run(source)
    weights = open_weights(directory)
    tokenizers = tokenizer_files(directory)
    if not tokenizers:
        raise InputError(f"{directory} has no {TOKENIZER_FILE}, so nobody could talk to it. Add the tokenizer's file.")
    _round(weights, part, rounding)
    for path in (*tokenizers, directory / CARD_FILE):
        if path.is_file():
            shutil.copyfile(path, part / path.name)
    return parent, facts, ()


def _open_foreign(path: Path, examine_tokenizer: Callable[[Path, int], None] | None) -> ForeignModel:
    examine(path)
    model = open_foreign(path)
    if not model.tokenizer_files and "tokenizer.ggml.tokens" not in model.vocabulary:
        raise InputError(f"{path} has no tokenizer, so nobody could talk to it. Put the tokenizer's file beside it.")
    if examine_tokenizer is not None:
        examine_tokenizer(path, model.weights.spec.vocab_size)
    return model


def _take_foreign(
    source: Source, model: ForeignModel, part: Path, rounding: _Rounding
) -> tuple[Input, dict[str, object], tuple[str, ...]]:
    notes = model.notes
    if source.in_place and rounding.precision is None:
        for name in model.weights.spec.tensor_shapes():
            model.weights.check_tensor(name)
        write_spec(part, model.weights.spec)
        write_in_place(part, source.path)
        notes += (f"The weights stay at {source.path}: the model works as long as that file is there.",)
    else:
        _round(model.weights, part, rounding)
    for path in model.tokenizer_files:
        shutil.copyfile(path, part / path.name)
    _write_vocabulary(part, model.vocabulary)
    licence = source.licence or model.licence
    (part / CARD_FILE).write_text(_card(source, model, licence, notes), encoding="utf-8")
    facts: dict[str, object] = {
        "format": model.format,
        "licence": licence,
        "origin": source.origin or str(source.path.resolve()),
    }
    return file_input(model.source_files[0]), facts, notes


def _write_vocabulary(part: Path, vocabulary: Mapping[str, Value]) -> None:
    """The vocabulary of a GGUF file: the tekken file that it carries, else a GGUF file of its own."""
    tekken = vocabulary.get(_TEKKEN_KEY)
    if isinstance(tekken, str):
        (part / TOKENIZER_FILE).write_text(tekken, encoding="utf-8")
    elif vocabulary:
        write_gguf(part / VOCABULARY_FILE, vocabulary, {})


def _card(source: Source, model: ForeignModel, licence: str, notes: tuple[str, ...]) -> str:
    """Where a model comes from, and its own card below."""
    origin = source.origin or f"`{source.path}`"
    lines = [f"Taken from {origin}, in the {model.format} format. Licence: {licence or 'not stated there'}.", *notes]
    own = source.path / "README.md"
    if source.path.is_dir() and own.is_file() and own.stat().st_size < _MAX_CARD_BYTES:
        text = own.read_text(encoding="utf-8", errors="replace")
        lines += ["---", text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text]
    return "\n\n".join(lines) + "\n"


def _round(weights: Weights, part: Path, rounding: _Rounding) -> None:
    """Write the weights, and what rounding did to each matrix, also to those that an interrupted call rounded."""
    errors = convert(weights, part, rounding.precision, rounding.progress, rounding.scales)
    written = open_weights(part)
    rounded = [name for name in weights.stored if written.is_quantised(name) and not weights.is_quantised(name)]
    for name in rounded:
        if name not in errors:
            errors[name] = rounding_error(weights, written, name)
    if rounded:
        table = {name: round(errors[name].relative, 6) for name in rounded}
        write_atomically(part / ERRORS_FILE, json.dumps(table, indent=1) + "\n")


def _identity(source: Source, rounding: _Rounding) -> dict[str, object]:
    """What must be the same for an interrupted pull to go on: the files by size and time, and what is asked for."""
    path = source.path
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.exists()]
    how = {"precision": rounding.precision, "scales": rounding.scales.identity()}
    return {"files": states, "in_place": source.in_place, **how}


@contextmanager
def _part(name: str, identity: Mapping[str, object]) -> Iterator[Path]:
    """The hidden directory of a model in the making, locked; empty unless an interrupted call of the same kind left it."""
    directory, note = part_directory(name), json.dumps(identity)
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is taking in {name}. Wait for it, or choose another name.") from None
        path = directory / _NOTE
        if not path.is_file() or path.read_text(encoding="utf-8") != note:
            for entry in directory.iterdir():
                entry.unlink()
            write_atomically(path, note)
        try:
            yield directory
        except BiseError:
            shutil.rmtree(directory)
            raise
    finally:
        os.close(descriptor)


def resolve_run(source: Path) -> tuple[Path, Input, dict[str, object]]:
    """The model directory inside a source, what it was made from, and what its maker says about it.

    Raises:
        NotFoundError: the run did not finish.
        InputError: it makes no models, or its weights are not those that it wrote.
    """
    if (source / SPEC_FILE).is_file():
        owner = next((d for d in (source, source.parent) if (d / MANIFEST).is_file()), None)
        if owner is None:
            return source, file_input(source / WEIGHTS_FILE), {}
        directory = source
    else:
        owner, directory = source, source / "model"
    manifest = read_manifest(owner)
    if manifest.stage not in ("train", "tune", "model"):
        raise InputError(f"{owner} is a {manifest.stage} run. Models come from train and tune runs.")
    _check_hash(owner, directory, manifest)
    return directory, run_input(owner), dict(manifest.facts)


def _check_hash(owner: Path, directory: Path, manifest: Manifest) -> None:
    weights = directory / WEIGHTS_FILE
    for output in manifest.outputs:
        if owner / output.path == weights and weights.is_file() and sha256_file(weights) != output.sha256:
            raise InputError(f"{weights} is not the file that its run wrote: its hash differs. Copy or train it again.")
