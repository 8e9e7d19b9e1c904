"""`bise release`: a model with everything that it takes to publish it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.openness.release.directory import Release


@click.command()
@click.argument("model")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--about", type=click.Path(path_type=Path), help="TOML with what only people know: provider, uses, licence."
)
@click.option("--runs", default=Path("runs"), type=click.Path(path_type=Path), help="The runs directory.  [runs]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(model: str, directory: Path, about: Path | None, runs: Path, as_json: bool) -> None:
    """Write MODEL to the new DIRECTORY, ready to publish: weights for transformers, model card, data cards (Croissant), bill
    of materials (CycloneDX), disclosure forms of the Union, class of openness, licences, recipes, checksums.

    What the records hold is filled in; what only people know is marked, or taken from --about.
    """
    from bise.cli.progress import progress_bar
    from bise.config import load_recipe
    from bise.openness.release.directory import release
    from bise.openness.release.record import About
    from bise.weights.store import find_model

    told = load_recipe(about, About) if about else About()
    found = find_model(model)
    with progress_bar(f"Writing {found.name}") as progress:
        written = release(found, runs, directory, told, progress)
    if as_json:
        table = asdict(written) | {"files": [str(path) for path in written.files]}
        click.echo(json.dumps(table, indent=2, ensure_ascii=False))
    else:
        click.echo(_in_words(written))


def _in_words(written: "Release") -> str:
    openness = written.openness
    lines = [str(path) for path in written.files]
    lines.append(f"Model Openness Framework: class {openness.reached or 'none'} reached.")
    if openness.next_class:
        lines.append(f"Missing for class {openness.next_class}: {', '.join(openness.missing)}.")
    lines += [
        f"{one.source}, {one.licence}: {one.verdict}" for one in written.findings if not one.verdict.startswith("fits")
    ]
    if written.num_by_hand:
        lines.append(f"{written.num_by_hand} fields are left for a person; --about FILE fills most of them.")
    return "\n".join(lines)
