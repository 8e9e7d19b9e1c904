"""`bise pull`: a model into the store."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bise.errors import BiseError, InputError

if TYPE_CHECKING:
    from bise.engine.agreement import Agreement
    from bise.weights.pull import Pulled, Source
    from bise.weights.quantise import Scales


@click.command("pull")
@click.argument("source", required=False)
@click.option(
    "--name", help="What it will be called here, an adapter model:adapter; without it, the address's last word."
)
@click.option(
    "--bits",
    type=click.Choice(["4", "mixed", "8", "16"]),
    help="Precision of the weights, kept as it is when not given; mixed is 4 with the output head at 8.",
)
@click.option(
    "--plain", is_flag=True, help="With 4 or mixed bits: take llama.cpp's scales, without a search for better ones."
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With 4 or mixed bits: a text file; what matters most for such text is rounded with most care.",
)
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A text file: tell how far the rounded model's answers are from the original's on it.",
)
@click.option("--found", is_flag=True, help="List the models that Ollama and LM Studio have on this disk.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    source: str | None,
    name: str | None,
    bits: str | None,
    plain: bool,
    calibrate: Path | None,
    compare: Path | None,
    found: bool,
    as_json: bool,
) -> None:
    """Take a model into the store.

    SOURCE is a finished train or tune run, a model's directory (Bise, Hugging Face, Mistral), a GGUF file, hf:OWNER/NAME
    (or hf:OWNER/NAME/FILE.gguf, either with @REVISION), or ollama:NAME or lmstudio:NAME for models that those programs
    have on this disk, which stay where they are. The same command goes on with a pull that was stopped. With a name such
    as mine:polite, the adapter of a tune run, or a directory in peft's format, becomes an adapter of the model mine.
    """
    from bise.cli.progress import progress_bar
    from bise.tokenizer.examine import examine as examine_tokenizer
    from bise.weights.adapters import split_reference
    from bise.weights.pull import pull, suggested_name
    from bise.weights.quantise import Scales

    if found:
        _list_found(as_json)
        return
    if source is None:
        raise InputError("Name a source, or list what other programs have here with: bise pull --found")
    owner, adapter = split_reference(name or "")
    if adapter is not None:
        _pull_adapter(Path(source).expanduser(), owner, adapter, bits, as_json)
        return
    _check_scales(bits, plain, calibrate)
    with _resolved(source) as place:
        chosen = name or suggested_name(place)
        companions = _companions(place.path, chosen, bits)
        scales = _calibrate(place, calibrate, bits) if calibrate else Scales(are_searched=not plain)
        with progress_bar(f"Taking in {chosen}") as progress:
            pulled = pull(place, chosen, bits, companions, progress, examine_tokenizer, scales)
        agreement = _compare(place, pulled, compare) if compare else None
    _tell(pulled, agreement, as_json)


@contextmanager
def _resolved(source: str) -> "Iterator[Source]":
    """What a source means; what was fetched for it is deleted when the block ends well."""
    from bise.cli.progress import progress_bar
    from bise.weights.hub import fetch, parse_hub
    from bise.weights.places import find_in_place
    from bise.weights.pull import Source
    from bise.weights.store import downloads_directory

    path = Path(source).expanduser()
    if path.exists():
        yield Source(path)
    elif source.startswith(("ollama:", "lmstudio:")):
        model = find_in_place(source)
        yield Source(model.path, model.source, in_place=True, licence=model.licence)
    elif (address := parse_hub(source)) is not None and (source.startswith("hf:") or not path.parent.exists()):
        with progress_bar(f"Fetching {address.repository}") as progress:
            fetched = fetch(address, downloads_directory(), progress)
        yield Source(fetched.path, fetched.origin)
        shutil.rmtree(fetched.directory)
    else:
        yield Source(path)


def _list_found(as_json: bool) -> None:
    from bise.weights.places import found_models

    models = found_models()
    if as_json:
        click.echo(json.dumps([{"source": m.source, "path": str(m.path), "size_bytes": m.size_bytes} for m in models]))
        return
    for model in models:
        click.echo(f"{model.source:48} {model.size_bytes / 1e6:,.1f} MB")
    words = (
        "Take one in, where it lies, with: bise pull SOURCE" if models else "Neither Ollama nor LM Studio has a model."
    )
    click.echo(words, err=True)


def _tell(pulled: "Pulled", agreement: "Agreement | None", as_json: bool) -> None:
    """What is now in the store, what to know about it, and what rounding did."""
    from bise.weights.store import describe

    model = describe(pulled.path)
    errors = sorted(pulled.errors.items(), key=lambda item: item[1])
    if as_json:
        row = {"name": model.name, "path": str(model.path), **model.facts(), "notes": pulled.notes}
        row |= {"rounding_error": dict(errors)} if errors else {}
        click.echo(json.dumps(row | ({"agreement": asdict(agreement)} if agreement else {})))
        return
    click.echo(f"{model.name}: {model.summary()}")
    for note in pulled.notes:
        click.echo(note, err=True)
    if errors:
        (_, middle), (worst, most) = errors[len(errors) // 2], errors[-1]
        click.echo(
            f"Rounding moved the weights by {middle:.1%} (median of matrices; most in {worst}: {most:.1%}). "
            f"All of them: bise models show {model.name} --json",
            err=True,
        )
    if agreement is not None:
        click.echo(
            f"Against the original on {agreement.num_tokens} tokens: KL divergence {agreement.kl_nats:.4f} nats, "
            f"the same best token in {agreement.same_best:.1%} of places.",
            err=True,
        )
    click.echo(f'Talk to it with: bise ask -m {model.name} "…"', err=True)


def _check_scales(bits: str | None, plain: bool, calibrate: Path | None) -> None:
    if (plain or calibrate) and bits not in ("4", "mixed"):
        raise InputError("--plain and --calibrate choose the scales of 4-bit weights. Add --bits 4 or --bits mixed.")
    if plain and calibrate:
        raise InputError("--plain leaves the search for scales out that --calibrate guides. Give one of them.")


def _calibrate(place: "Source", text: Path, bits: str | None) -> "Scales":
    """Run the original on a text, once it is known to be sound, and see what meets its weights."""
    from bise.cli.progress import progress_bar
    from bise.engine.kernels.table import choose_kernels
    from bise.engine.moments import measure_moments
    from bise.tokenizer.chat import ChatTokenizer
    from bise.tokenizer.examine import examine as examine_tokenizer
    from bise.weights.examine import examine
    from bise.weights.pull import is_ours, open_original, resolve_run
    from bise.weights.quantise import Scales, chosen_quantisation

    if is_foreign := not is_ours(place.path):
        examine(place.path)
    weights = open_original(place)
    if is_foreign:
        examine_tokenizer(place.path, weights.spec.vocab_size)
    chosen_quantisation(weights, bits)
    directory = resolve_run(place.path)[0] if is_ours(place.path) else place.path
    ids = ChatTokenizer.load(directory).encode(text.read_text(encoding="utf-8", errors="replace"))
    with progress_bar("Calibrating") as progress:
        return Scales(moments=measure_moments(weights, ids, choose_kernels().kernels, progress))


def _compare(place: "Source", pulled: "Pulled", text: Path) -> "Agreement":
    """Run both models on a text."""
    from bise.cli.progress import progress_bar
    from bise.engine.agreement import measure_agreement
    from bise.engine.kernels.table import choose_kernels
    from bise.tokenizer.chat import ChatTokenizer
    from bise.weights.files import open_weights
    from bise.weights.pull import open_original

    ids = ChatTokenizer.load(pulled.path).encode(text.read_text(encoding="utf-8", errors="replace"))
    with progress_bar("Comparing") as progress:
        return measure_agreement(
            open_original(place), open_weights(pulled.path), ids, choose_kernels().kernels, progress
        )


def _pull_adapter(source: Path, model: str, name: str, bits: str | None, as_json: bool) -> None:
    from bise.weights.adapters import install_adapter

    if bits is not None:
        raise InputError("--bits rounds a model's weights; an adapter keeps its own. Leave it out.")
    adapter = install_adapter(source, model, name)
    if as_json:
        click.echo(json.dumps({"name": adapter.reference, "path": str(adapter.path), **adapter.facts()}))
        return
    click.echo(f"{adapter.reference}: {adapter.summary()}")
    click.echo(f'Talk to it with: bise ask -m {adapter.reference} "…"; a running server offers it already.', err=True)


def _companions(source: Path, name: str, bits: str | None) -> dict[str, str]:
    """The card and lineage of a run's model; a run that was brought here without its parents has none, which is told."""
    from bise.openness.card import model_card
    from bise.openness.lineage import RECORD_FILE, lineage_record
    from bise.runs import MANIFEST, read_manifest
    from bise.weights.store import CARD_FILE

    if not (source / MANIFEST).is_file():
        return {}
    companions = {RECORD_FILE: lineage_record(source)}
    if read_manifest(source).stage in ("train", "tune"):
        try:
            companions[CARD_FILE] = model_card(source, name, bits)
        except BiseError as error:
            click.echo(f"The model gets no card, because its lineage cannot be followed: {error}", err=True)
    return companions
