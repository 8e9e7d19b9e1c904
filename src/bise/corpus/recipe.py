"""The recipe of a curation run: which sources, under which licences, and what makes a document good enough.

Each step is a section; one that is left out keeps its defaults. Paths of data are relative to `sources.root`. A dropped
document carries the name of the field that dropped it, so that the reason for a drop is also the key to change.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from bise.corpus.clean import Step
from bise.corpus.html import HtmlEngine
from bise.corpus.normalise import Form
from bise.corpus.personal import Kind
from bise.corpus.repeats import Passage
from bise.corpus.rules import Rules

Format = Literal["auto", "jsonl", "parquet", "text", "html", "warc"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or several by a glob."""

    path: str  # relative to sources.root, "/" between parts; may be a glob when no hash is given
    sha256: str = ""  # of the file as stored (packed); "" means not verified

    def __post_init__(self) -> None:
        if not self.path or PurePosixPath(self.path).is_absolute():
            raise ValueError(f"path is {self.path!r}, but must be relative to sources.root.")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 of {self.path} is {self.sha256!r}, but must be 64 lower-case hexadecimal digits.")
        if self.sha256 and self.is_glob:
            raise ValueError(f"{self.path} is a glob, so one sha256 cannot describe it. Name each file.")

    @property
    def is_glob(self) -> bool:
        """Whether the path may name several files."""
        return any(mark in self.path for mark in "*?[")


@dataclass(frozen=True)
class Source:
    """Files of one origin and one licence, each record with the text and, if known, its language."""

    name: str  # lower case letters, digits, ".", "_", "-"; names the Parquet files
    licence: str = ""  # of the text, as its owner states it
    files: tuple[SourceFile, ...] = ()
    repository: str = ""  # where the text came from, a URL
    commit: str = ""  # the version of the repository
    preparation: str = ""  # what was done to the repository's files to get these JSON lines
    max_bytes: int | None = None  # UTF-8 bytes of good text taken, chosen by the seed; none means all
    text_field: str = "text"
    lang_field: str = "lang"
    lang: str = ""  # ISO 639-1 code of records that state none
    clean: tuple[Step, ...] = ()  # what to take out of each text, in this order
    format: Format = "auto"  # of the files; auto goes by their names
    id_field: str = "id"
    url_field: str = "url"
    text_is_html: bool = False  # whether the text field holds web pages; HTML files and web archives always do
    html: HtmlEngine = "trafilatura"  # what draws the main text from web pages; resiliparse is faster, and cruder
    dataset: str = ""  # "owner/name" of a data set on Hugging Face, whose files `files` then names
    revision: str = "main"  # of the data set: a branch, a tag or, to read the same again, a commit

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"source name {self.name!r} may hold only lower-case letters, digits, '.', '_' and '-'.")
        if not self.files:
            raise ValueError(f"source {self.name} has no files.")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"max_bytes of {self.name} is {self.max_bytes}, but must be at least 1.")


@dataclass(frozen=True)
class Sources:
    """Where the sources lie and what they are, in the order in which they are read."""

    list: tuple[Source, ...]
    root: Path = Path()  # the directory that holds them; relative paths start at the working directory
    max_bad_lines: float = 0.01  # share of a source's lines (0 to 1) that may be malformed before the run fails

    def __post_init__(self) -> None:
        if not self.list:
            raise ValueError("sources.list is empty. Name at least one source.")
        names = [source.name for source in self.list]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"source {', '.join(repeated)} is listed more than once.")
        _check_share("max_bad_lines", self.max_bad_lines)


@dataclass(frozen=True)
class Licences:
    """Which licences a source may have."""

    allow: tuple[str, ...] = ()  # patterns with "*", upper and lower case alike; empty means every stated one
    allow_unstated: bool = False  # whether a source may state none

    def check(self, source: Source) -> None:
        """Refuse a source by its licence.

        Raises:
            ValueError: the licence is not allowed, or there is none.
        """
        stated = source.licence.strip().lower()
        if not stated and not self.allow_unstated:
            raise ValueError(
                f"source {source.name} states no licence. Find out and write down its licence, or set "
                "licences.allow_unstated = true if you may use it without one."
            )
        if stated and self.allow and not any(fnmatchcase(stated, pattern.lower()) for pattern in self.allow):
            raise ValueError(
                f"source {source.name} has the licence {source.licence!r}, which licences.allow does not allow: it "
                f"lists {', '.join(self.allow)}. Leave the source out, or allow its licence."
            )


@dataclass(frozen=True)
class Normalise:
    """Characters made sound and alike before anything is measured."""

    on: bool = True
    form: Form = "NFC"  # Unicode's normal form; NFKC also replaces ligatures and full-width characters by plain ones
    repair: bool = True  # whether to mend UTF-8 that somebody read as Windows-1252


@dataclass(frozen=True)
class Lists:
    """Sites and words that are not wanted, from files below sources.root; none unless named."""

    sites: tuple[str, ...] = ()  # domains or addresses, one a line, or hosts files
    words: Mapping[str, str] = field(default_factory=dict)  # by language, "all" for every one: words or phrases a line
    max_listed_words: float = 0.005  # share of a document's words that may be listed; a form of C4's list

    def __post_init__(self) -> None:
        _check_share("lists.max_listed_words", self.max_listed_words)


@dataclass(frozen=True)
class Quality:
    """A classifier that `bise quality` made of the user's own files."""

    model: str = ""  # its directory, below sources.root; "" means that nothing is scored
    min_score: float = 0.5  # probability, 0 to 1, that a document is one of the good ones

    def __post_init__(self) -> None:
        _check_share("quality.min_score", self.min_score)


@dataclass(frozen=True)
class Language:
    """Who says which language a document is in: its record, or py3langid's model, read in this process."""

    identify: Literal["never", "missing", "always", "check"] = "missing"  # "check": drop where record and model differ
    candidates: tuple[str, ...] = ()  # ISO 639-1 codes to choose from; empty means all that the model knows
    max_bytes: int = 1000  # of each text that are looked at
    min_contradiction: float = 0.9  # confidence of the model, 0 to 1, from which on "check" drops

    def __post_init__(self) -> None:
        _check_share("language.min_contradiction", self.min_contradiction)
        if self.max_bytes < 1:
            raise ValueError(f"language.max_bytes is {self.max_bytes}, but must be at least 1.")


@dataclass(frozen=True)
class EvaluationData:
    """Texts that models are tested with; a document that shares a passage with them is dropped.

    A passage is 13 words in a row, as in GPT-3 (arXiv 2005.14165, appendix C); shorter texts are looked for as a whole.
    """

    files: tuple[str, ...] = ()  # JSON lines below sources.root, names or globs; empty means that nothing is looked for
    fields: tuple[str, ...] = ()  # of a record; empty means every text in it
    gram_words: int = 13  # words in a row that make a passage
    min_words: int = 8  # of a text that is looked for as a whole
    max_words: int = 0  # words in such passages that a document may have

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.gram_words:
            raise ValueError(
                f"contamination.min_words is {self.min_words} and gram_words {self.gram_words}, but must satisfy "
                "1 <= min_words <= gram_words."
            )


@dataclass(frozen=True)
class Duplicates:
    """Which repetitions between documents are taken out; the first in reading order is kept."""

    exact: bool = True  # texts that differ only in case and white space
    near: bool = True  # texts that share most of their word 5-grams (MinHash: Broder 1997; FineWeb, arXiv 2406.17557)
    min_similarity: float = 0.75  # Jaccard of the 5-grams, 0 to 1, from which on two texts repeat each other
    paragraphs: bool = False  # cut paragraphs that an earlier document has (CCNet, arXiv 1911.00359)
    windows: bool = False  # cut sentences within 50 words that an earlier document has (Lee et al., arXiv 2107.06499)
    max_cut: float = 0.5  # share of a document's bytes that may be cut before it is dropped
    against: tuple[Path, ...] = ()  # finished curate runs below `root` whose documents may not be repeated either

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_similarity <= 1:
            raise ValueError(
                f"duplicates.min_similarity is {self.min_similarity}, but must be between 0.5, below which copies are "
                "not found, and 1."
            )
        _check_share("duplicates.max_cut", self.max_cut)

    @property
    def cut_kinds(self) -> tuple[Passage, ...]:
        """Which parts of documents are cut when earlier documents have them."""
        kinds: tuple[tuple[Passage, bool], ...] = (("paragraphs", self.paragraphs), ("windows", self.windows))
        return tuple(kind for kind, on in kinds if on)


@dataclass(frozen=True)
class Personal:
    """Which personal data is replaced by placeholders such as `<EMAIL>`."""

    mask: tuple[Kind, ...] = ()  # what has a checksum must pass it; empty means that texts stay as they are
    addresses: Literal["public", "all"] = "public"  # which IP addresses


@dataclass(frozen=True)
class Mix:
    """How much of each source and language is written, once it is known which documents are good.

    A document is written `rate` times; a fraction means that a part of the documents, drawn by the seed, is written once
    more. More than four repeats teach a model little (Muennighoff et al. 2023, arXiv 2305.16264).
    """

    weights: Mapping[str, float] = field(default_factory=dict)  # by source: rate relative to the others, 1 unless named
    languages: Mapping[str, float] = field(default_factory=dict)  # by language: share of the text; empty means as found
    max_bytes: int | None = None  # UTF-8 bytes of text in all; none means as much as max_repeats allows
    max_tokens: int | None = None  # likewise in tokens, at bytes_per_token
    bytes_per_token: float = 4.0  # of the tokenizer in mind; `bise tokenizer show` tells
    max_repeats: float = 1.0  # largest rate: 1 means that nothing is repeated

    def __post_init__(self) -> None:
        for name, table in (("weights", self.weights), ("languages", self.languages)):
            for key, value in table.items():
                if value < 0:
                    raise ValueError(f"mix.{name} of {key} is {value}, but must be at least 0.")
        if self.max_bytes is not None and self.max_tokens is not None:
            raise ValueError("mix.max_bytes and mix.max_tokens are both given. Give one.")
        for name in ("max_bytes", "max_tokens", "bytes_per_token", "max_repeats"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"mix.{name} is {value}, but must be greater than 0.")
        if self.languages and sum(self.languages.values()) <= 0:
            raise ValueError("mix.languages gives no language a share above 0.")

    @property
    def budget_bytes(self) -> float | None:
        """The budget in UTF-8 bytes of text; None when there is none."""
        return self.max_tokens * self.bytes_per_token if self.max_tokens else self.max_bytes


@dataclass(frozen=True)
class OutputFiles:
    """What is written beside the documents."""

    beginnings: int = 200  # characters of each document, kept or dropped, in the statistics; 0 for none
    fingerprints: bool = True  # 180 bytes a kept document, for `duplicates.against` of a later run

    def __post_init__(self) -> None:
        if self.beginnings < 0:
            raise ValueError(f"output.beginnings is {self.beginnings}, but must be at least 0.")


@dataclass(frozen=True)
class CurateRecipe:
    """A curation run; its result is `<root>/curate/<name>/`."""

    name: str
    sources: Sources
    licences: Licences = field(default_factory=Licences)
    normalise: Normalise = field(default_factory=Normalise)
    language: Language = field(default_factory=Language)
    rules: Rules = field(default_factory=Rules)
    lists: Lists = field(default_factory=Lists)
    contamination: EvaluationData = field(default_factory=EvaluationData)
    quality: Quality = field(default_factory=Quality)
    personal: Personal = field(default_factory=Personal)
    duplicates: Duplicates = field(default_factory=Duplicates)
    mix: Mix = field(default_factory=Mix)
    output: OutputFiles = field(default_factory=OutputFiles)
    root: Path = Path("runs")  # where run directories live
    seed: int = 0  # chooses the documents of max_bytes and of the mix
    workers: int = 0  # processes; 0 means one a core, and this one alone for little text

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}, but may hold only lower-case letters, digits, '.', '_' and '-'.")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}, but must be at least 0.")
        for source in self.sources.list:
            self.licences.check(source)
        unknown = sorted(set(self.mix.weights) - {source.name for source in self.sources.list})
        if unknown:
            raise ValueError(f"mix.weights names {', '.join(unknown)}, which are no sources of this recipe.")

    def document_steps(self) -> dict[str, Any]:
        """The sections that decide what becomes of a document by itself."""
        names = ("normalise", "language", "rules", "lists", "contamination", "quality", "personal", "output")
        compared = {"near": self.duplicates.near, "cut_kinds": self.duplicates.cut_kinds}
        return {name: asdict(getattr(self, name)) for name in names} | compared

    def corpus_steps(self) -> dict[str, Any]:
        """The sections that decide between documents."""
        return {
            "duplicates": {name: value for name, value in asdict(self.duplicates).items() if name != "against"},
            "mix": asdict(self.mix),
            "max_bytes": {source.name: source.max_bytes for source in self.sources.list},
            "seed": self.seed,
        }

    def published(self) -> dict[str, Any]:
        """The recipe as a manifest shows it: without the paths of this machine."""
        table = asdict(self)
        del table["root"], table["workers"], table["sources"]["root"]
        table["duplicates"]["against"] = [f"curate/{path.name}" for path in self.duplicates.against]
        return table


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, but is a share and must be between 0 and 1.")
