"""Where answers and models come from: what of an answer stands in the training data, what a model was made from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bise.corpus.index import CorpusIndex, Place, join, open_index
from bise.errors import BiseError
from bise.openness.corpora import Corpus, corpora_of
from bise.openness.lineage import Lineage, lineage_of
from bise.openness.steps import steps_of
from bise.openness.trace import Span, Trace, trace
from bise.weights.adapters import find_adapter, split_reference
from bise.weights.store import find_model

_TITLES = ("title", "url")  # of a document's metadata: what helps to find it again


class Provenance:
    """Answers these questions for the models of this server; indices stay open once they were looked into."""

    def __init__(self, served: Path | None = None, runs: Path = Path("runs")) -> None:
        self._served = served
        self._runs = runs
        self._open: dict[tuple[Path, ...], CorpusIndex] = {}

    def lineage(self, model: str) -> Lineage | None:
        """Follow a model or adapter of this machine; None when nothing is recorded of it."""
        try:
            return lineage_of(self._directory(model), self._runs)
        except BiseError:  # no such model here, or one without records: nothing is known of it
            return None

    def trace(self, model: str, text: str) -> dict[str, Any]:
        """Find the parts of a text that stand in the corpora of a model, for the page; `known` says whether they are here."""
        lineage = self.lineage(model)
        corpora = corpora_of(lineage) if lineage else ()
        names = [corpus.name.partition("/")[2] for corpus in corpora]
        if not corpora:
            return {"known": "unknown", "corpora": names}
        index = self._index(corpora)
        if index is None:
            return {"known": "not_here", "corpora": names}
        return {"known": "here", "corpora": names, **_show(trace(index, text))}

    def _directory(self, model: str) -> Path:
        name, adapter = split_reference(model)
        if adapter is not None:
            return find_adapter(name, adapter).path
        return self._served if self._served is not None and self._served.name == name else find_model(name)

    def _index(self, corpora: tuple[Corpus, ...]) -> CorpusIndex | None:
        places = tuple(corpus.index for corpus in corpora if corpus.index is not None)
        if len(places) < len(corpora):
            return None
        if places not in self._open:
            self._open[places] = join([open_index(place) for place in places])
        return self._open[places]


def show_lineage(lineage: Lineage | None) -> dict[str, Any]:
    """A lineage for the page."""
    if lineage is None:
        return {"steps": [], "missing": []}
    steps = [asdict(step) | {"outputs": len(step.outputs)} for step in steps_of(lineage)]
    for step in steps:
        step["files_read"] = sum(1 for each in step.pop("inputs") if each["kind"] == "file")
    return {"steps": steps, "missing": [asdict(parent) for parent in lineage.missing]}


def _show(found: Trace) -> dict[str, Any]:
    return {
        "share": round(found.share, 4),
        "pieces": [asdict(piece) for piece in found.pieces],
        "spans": [_span(span) for span in found.spans],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "text": span.text,
        "num_words": span.stop - span.first,
        "occurrences": span.occurrences,
        "places": [_place(place) for place in span.places],
    }


def _place(place: Place) -> dict[str, Any]:
    shown = {key: place.metadata.get(key, "") for key in _TITLES}
    return {key: value for key, value in asdict(place).items() if key != "metadata"} | shown
