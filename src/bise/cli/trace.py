"""`bise trace`: what of a text stands word for word in the data that a model was trained on."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.corpus.index import CorpusIndex, Place
    from bise.openness.trace import Trace, TraceSettings

_SHOWN = 5  # lines of a file


@click.command()
@click.argument("model")
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="JSON lines, each looked up by itself.")
@click.option("--min-words", default=8, show_default=True, type=click.IntRange(1), help="Shorter spans do not count.")
@click.option("--min-bits", default=50.0, show_default=True, help="Nor do spans of words so common; 0: all count.")
@click.option("--runs", default=Path("runs"), type=click.Path(path_type=Path), help="The runs directory.  [runs]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(
    model: str, text: str | None, file: Path | None, min_words: int, min_bits: float, runs: Path, as_json: bool
) -> None:
    """Find the parts of TEXT, or of what comes on stdin, that stand word for word in the corpus of MODEL.

    MODEL is a name, a path, or a run. Its corpus must be indexed here: bise curate RECIPE --index. With --file, count the
    lines that hold such parts: evaluation data that was seen in training, answers that recite it.
    """
    from bise.openness.corpora import corpora_of, open_indices
    from bise.openness.lineage import find_owner, lineage_of
    from bise.openness.trace import TraceSettings, trace

    index = open_indices(corpora_of(lineage_of(find_owner(model), runs)), model)
    settings = TraceSettings(min_words, min_bits)
    if file is not None:
        _count(index, file, settings, as_json)
        return
    found = trace(index, sys.stdin.read() if text is None else text, settings)
    told = {"num_words": found.num_words, "share": round(found.share, 4), "spans": [asdict(s) for s in found.spans]}
    click.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else _in_words(found))


def _in_words(found: "Trace") -> str:
    lines = []
    for span in found.spans:
        lines.append(
            f"{click.style(span.text, bold=True)}\n  {span.stop - span.first} words, {span.occurrences:,} times"
        )
        lines += [_place(place) for place in span.places]
    lines.append(f"{found.share:.0%} of {found.num_words:,} words stand in {len(found.spans)} such spans.")
    return "\n".join(lines)


def _place(place: "Place") -> str:
    around = " ".join(f"…{place.before[-80:]}[{place.words}]{place.after[:80]}…".split())
    return f"  {place.source} ({place.licence}), {place.document}\n    {around}"


def _count(index: "CorpusIndex", file: Path, settings: "TraceSettings", as_json: bool) -> None:
    from bise.openness.recited import look_up

    records = list(look_up(index, file, settings))
    hits = [record for record in records if record.spans]
    words = sum(record.num_words for record in records)
    told = {
        "records": len(records),
        "with_spans": len(hits),
        "words": words,
        "share_of_words": round(sum(record.share * record.num_words for record in records) / max(words, 1), 4),
        "longest": max((record.longest for record in records), default=0),
    }
    if as_json:
        rows = [{**asdict(record), "spans": [asdict(span) for span in record.spans]} for record in hits]
        click.echo(json.dumps({**told, "hits": rows}, ensure_ascii=False))
        return
    click.echo(
        f"{told['with_spans']:,} of {told['records']:,} records hold words of the corpus; "
        f"{told['share_of_words']:.1%} of all words, {told['longest']} at most together."
    )
    for record in sorted(hits, key=lambda each: -each.longest)[:_SHOWN]:
        span = max(record.spans, key=lambda each: each.stop - each.first)
        click.echo(f"line {record.line}: {span.text}\n  {span.places[0].source} ({span.places[0].licence})")
