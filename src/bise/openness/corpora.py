"""The corpora that a model learned from, and those of them that can be looked up on this machine."""

from dataclasses import dataclass
from pathlib import Path

from bise.corpus.index import CorpusIndex, join, noted_index, open_index
from bise.errors import UnavailableError
from bise.openness.lineage import Lineage

_STAGE = "curate"


@dataclass(frozen=True)
class Corpus:
    """A curated corpus, by its manifest."""

    name: str
    sha256: str
    index: Path | None  # None: not indexed on this machine


def corpora_of(lineage: Lineage) -> tuple[Corpus, ...]:
    """Every corpus among the ancestors, also those of which nothing but the hash is known."""
    known = [(link.name, link.sha256) for link in lineage.stage(_STAGE)]
    known += [(parent.name, parent.sha256) for parent in lineage.missing if parent.name.startswith(f"{_STAGE}/")]
    return tuple(Corpus(name, sha256, noted_index(sha256)) for name, sha256 in known)


def open_indices(corpora: tuple[Corpus, ...], whose: str) -> CorpusIndex:
    """The indices of corpora as one.

    Raises:
        UnavailableError: a corpus is not on this machine, so that what is not found would mean nothing.
        InputError: an index is damaged.
    """
    absent = [f"{corpus.name} ({corpus.sha256[:12]}…)" for corpus in corpora if corpus.index is None]
    if not corpora:
        raise UnavailableError(f"The records on this machine do not say what corpus {whose} learned from.")
    if absent:
        raise UnavailableError(
            f"The corpus that {whose} learned from is not indexed on this machine: {', '.join(absent)}. "
            "Where its run is: bise curate RECIPE --index"
        )
    return join([open_index(corpus.index) for corpus in corpora if corpus.index is not None])
