"""`bise explain`: why a document was kept or dropped."""

import json
from pathlib import Path

import click

from bise.cli.extras import require_extra


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("document")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known as JSON.")
def command(run: Path, document: str, as_json: bool) -> None:
    """Tell the story of one DOCUMENT, named by its id, in the finished curate run at RUN.

    Where it came from, what every step measured against which threshold, what was masked or cut, and for a duplicate,
    which twin was kept.
    """
    require_extra("corpus", "pyarrow")
    from bise.corpus.explain import explain, in_words
    from bise.corpus.seen import Run

    story = explain(Run(run), document)
    click.echo(json.dumps(story.to_json(), indent=2, ensure_ascii=False) if as_json else in_words(story))
