"""`bise quality`: a classifier that tells texts like your good ones from others."""

import json
from pathlib import Path
from typing import Any

import click

from bise.cli.extras import require_extra


@click.command()
@click.argument("good", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--against", multiple=True, required=True, type=click.Path(path_type=Path), help="Any other texts.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory to write the classifier to.")
@click.option("--text-field", default="text", show_default=True, help="Field of records that holds the text.")
@click.option("--seed", default=0, show_default=True, help="Chooses the texts held out and the order of learning.")
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON.")
def command(
    good: tuple[Path, ...], against: tuple[Path, ...], out: Path, text_field: str, seed: int, as_json: bool
) -> None:
    """Learn to tell texts like those of GOOD from others, for the quality step of a curation recipe.

    GOOD and --against name files, directories or finished curation runs. A tenth of the texts is held out to measure
    precision and recall.
    """
    require_extra("corpus", "pyarrow")
    from bise.corpus.quality import QualitySettings, train_quality
    from bise.corpus.readers import Reading, read_paths

    reading = Reading()
    texts, others = (read_paths(paths, reading, text_field=text_field) for paths in (good, against))
    model = train_quality(texts, others, QualitySettings(seed=seed))
    if reading.num_bad:
        click.echo(f"Malformed records: {reading.num_bad:,}, such as {reading.bad_records[0]}", err=True)
    model.save(out)
    click.echo(json.dumps(dict(model.facts), indent=2) if as_json else _table(model.facts["held_out"]))
    click.echo(f"Written to {out}", err=True)


def _table(held_out: dict[str, Any]) -> str:
    lines = [
        f"Held out: {held_out['good']:,} good texts and {held_out['others']:,} others.",
        "",
        "threshold  precision  recall  others kept",
    ]
    lines += [
        f"{row['threshold']:>9}  {row['precision']:>9.3f}  {row['recall']:>6.3f}  {row['others_kept']:>11.3f}"
        for row in held_out["thresholds"]
    ]
    return "\n".join(lines)
