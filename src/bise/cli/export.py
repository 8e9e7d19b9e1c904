"""`bise export`: a model as other programs read it."""

import json
from pathlib import Path

import click


@click.command("export")
@click.argument("model")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", "to", type=click.Choice(["hf", "mistral", "gguf"]), required=True, help="The format.")
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32"]),
    help="What floats are written as: as they are when not given; integers become bfloat16 in hf and mistral.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(model: str, directory: Path, to: str, dtype: str | None, as_json: bool) -> None:
    """Write MODEL, a name or a path, to the new DIRECTORY: for transformers, mistral-inference or llama.cpp."""
    from bise.cli.progress import progress_bar
    from bise.tokenizer.convert import hugging_face_files
    from bise.tokenizer.exchange import GGUF_FILE, gguf_vocabulary
    from bise.weights.files import open_weights
    from bise.weights.formats.export import Companions, export_model
    from bise.weights.formats.foreign import tokenizer_files
    from bise.weights.store import describe, find_model

    found = find_model(model)
    weights, licence = open_weights(found), describe(found).any_licence
    made = hugging_face_files(found)
    if to == "gguf":
        vocabulary = gguf_vocabulary(found, weights.spec.vocab_size, made)
        companions = Companions(found.name, metadata=vocabulary | ({"general.license": licence} if licence else {}))
    else:
        files = tuple(path for path in tokenizer_files(found) if path.name != GGUF_FILE)
        texts = {"README.md": _readme(found, licence)} | (made if to == "hf" or not files else {})
        companions = Companions(found.name, files, texts)
    with progress_bar(f"Writing {found.name}") as progress:
        written = export_model(weights, directory, to, companions, dtype, progress)
    size = sum(path.stat().st_size for path in written)
    if as_json:
        click.echo(json.dumps({"files": [str(path) for path in written], "size_bytes": size}))
        return
    for path in written:
        click.echo(str(path))
    click.echo(f"{size / 1e6:,.1f} MB written.", err=True)


def _readme(model: Path, licence: str) -> str:
    """The model's card, with the licence where hubs look for it."""
    from bise.weights.store import read_card

    name = "other" if " " in licence else licence
    head = f"---\nlicense: {name}\n---\n\n" if name else ""
    return head + (read_card(model) or f"# {model.name}\n")
