"""What becomes of each document by itself: a batch goes in; its statistics, decisions and good texts come out.

`examine` is a plain function of its batch: no files, no memory of other batches.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bise.corpus.blocklists import ANY_LANGUAGE, UrlBlocklist, WordList
from bise.corpus.contamination import Contamination
from bise.corpus.document import Document
from bise.corpus.duplicates import band_keys, text_digests
from bise.corpus.language import identify_languages
from bise.corpus.normalise import normalise_batch
from bise.corpus.personal import PersonalData
from bise.corpus.quality import QualityModel
from bise.corpus.recipe import CurateRecipe, Duplicates, EvaluationData, Language, Normalise
from bise.corpus.repeats import Hashes, Passage, fingerprint
from bise.corpus.rules import REASONS, judge
from bise.corpus.statistics import NAMES, measure
from bise.corpus.tables import ALONE, TEXTS, metadata_column, to_arrow
from bise.corpus.texts import Data, Offsets, lay_out, num_bytes, read_only, replaced
from bise.corpus.units import find_named
from bise.corpus.words import Words, split_words

_PASSAGE_SHOWN = 200  # characters of a passage that is also in evaluation data


@dataclass
class Batch:
    """Some documents of one source, and where each came from."""

    documents: list[Document] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)  # the texts in UTF-8
    files: list[str] = field(default_factory=list)  # below sources.root
    lines: list[int] = field(default_factory=list)  # from 1
    size_bytes: int = 0  # of all texts

    def add(self, document: Document, file: str, line: int) -> None:
        """Take in one document."""
        self.documents.append(document)
        self.encoded.append(document.text.encode("utf-8"))
        self.files.append(file)
        self.lines.append(line)
        self.size_bytes += len(self.encoded[-1])


@dataclass(frozen=True)
class Examined:
    """A batch with what was decided."""

    seen: pa.Table  # every document, in the schema ALONE
    texts: pa.Table  # those that passed, in the schema TEXTS
    digests: NDArray[np.uint64]  # [passed, 2], equal for texts that differ only in case and white space
    bands: NDArray[np.uint64]  # [passed, BANDS], one of them equal in near copies; empty when those may stay
    passages: dict[Passage, tuple[Hashes, Offsets]]  # by which texts that share parts are known, those that are wanted


class Verdicts:
    """What was decided of each document of a batch; the first reason stands."""

    def __init__(self, num_documents: int) -> None:
        self.reasons = [""] * num_documents
        self.values = np.full(num_documents, np.nan)
        self.thresholds = np.full(num_documents, np.nan)
        self.details: list[dict[str, Any]] = [{} for _ in range(num_documents)]

    @property
    def is_kept(self) -> list[bool]:
        """Whether each document is kept so far."""
        return [not reason for reason in self.reasons]

    @property
    def kept(self) -> list[int]:
        """The numbers of those that are."""
        return [index for index, reason in enumerate(self.reasons) if not reason]

    def drop(self, index: int, reason: str, value: float, threshold: float) -> None:
        """Drop a document that is still kept."""
        if not self.reasons[index]:
            self.reasons[index], self.values[index], self.thresholds[index] = reason, value, threshold

    def columns(self) -> dict[str, Any]:
        """For the table of documents seen."""
        return {
            "reason": self.reasons,
            "value": _or_null(self.values),
            "threshold": _or_null(self.thresholds),
            "details": metadata_column(self.details),
        }


@dataclass
class Clock:
    """Processor seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.process_time)

    def lap(self, step: str) -> None:
        """Count the time since the last lap for a step."""
        now = time.process_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True)
class Steps:
    """The steps of a recipe with what they need; made once, and sent to every worker."""

    recipe: CurateRecipe
    personal: PersonalData
    contamination: Contamination | None
    sites: UrlBlocklist | None
    words: WordList | None
    quality: QualityModel | None


def open_steps(recipe: CurateRecipe) -> Steps:
    """Read the files that the steps need.

    Raises:
        InputError, NotFoundError: one of them cannot be used.
    """
    root, lists, wanted = recipe.sources.root, recipe.lists, recipe.contamination
    return Steps(
        recipe,
        PersonalData(recipe.personal.mask, recipe.personal.addresses),
        _open_contamination(recipe, wanted) if wanted.files else None,
        UrlBlocklist.read([root / name for name in lists.sites]) if lists.sites else None,
        WordList.read({_language_key(lang): root / name for lang, name in lists.words.items()})
        if lists.words
        else None,
        QualityModel.load(root / recipe.quality.model) if recipe.quality.model else None,
    )


def _language_key(lang: str) -> str:
    return ANY_LANGUAGE if lang == "all" else lang


def _open_contamination(recipe: CurateRecipe, wanted: EvaluationData) -> Contamination:
    files = [path for name in wanted.files for path in find_named(recipe, "contamination.files", name)]
    return Contamination.build(
        files, recipe.sources.root, gram_words=wanted.gram_words, min_words=wanted.min_words, fields=wanted.fields
    )


def examine(batch: Batch, steps: Steps, clock: Clock) -> Examined:
    """Measure and judge every document of a batch."""
    sound, data, offsets = _normalised(batch, steps.recipe.normalise)
    clock.lap("normalising")
    verdicts = Verdicts(len(batch.documents))
    langs, confidences = _languages(sound, data, offsets, steps.recipe.language, verdicts)
    clock.lap("language")
    statistics = measure(data, offsets, langs)
    clock.lap("statistics")
    decisions = judge(statistics, langs, steps.recipe.rules, confidences)
    for index in np.flatnonzero(~decisions.kept).tolist():
        verdicts.drop(index, REASONS[decisions.reason[index]], decisions.value[index], decisions.threshold[index])
    clock.lap("rules")
    words = split_words(data, offsets) if steps.words or steps.contamination or steps.quality else None
    clock.lap("words")
    listed = _find_listed(sound, words, langs, steps, verdicts)
    clock.lap("lists")
    _find_contamination(data, offsets, words, steps, verdicts)
    clock.lap("contamination")
    scores = _score(data, offsets, words, steps, verdicts)
    clock.lap("quality")
    masked, beginnings = _mask(sound, data, offsets, steps, verdicts)
    sizes = np.diff(offsets)
    sizes[list(masked)] = [num_bytes(text) for text in masked.values()]
    clock.lap("personal data")
    passed = verdicts.kept
    data, offsets = replaced(data, offsets, passed, masked)
    digests, bands, passages = _fingerprints(data, offsets, steps.recipe.duplicates)
    clock.lap("fingerprints")
    seen = {
        "id": [document.id for document in sound],
        "source": [document.source for document in sound],
        "file": batch.files,
        "line": batch.lines,
        "lang": langs,
        "confidence": _or_null(confidences),
        "bytes": sizes,
        **{name: statistics.column(name) for name in NAMES},
        "quality": _or_null(scores),
        "listed_words": _or_null(listed),
        **verdicts.columns(),
        "beginning": beginnings,
    }
    columns = _text_columns([sound[index] for index in passed], [langs[index] for index in passed])
    texts = pa.table(columns | {"text": to_arrow(data, offsets)}, schema=TEXTS)
    examined = Examined(pa.table(seen, schema=ALONE), texts, digests, bands, passages)
    clock.lap("tables")
    return examined


def _normalised(batch: Batch, wanted: Normalise) -> tuple[list[Document], Data, Offsets]:
    """The documents with sound characters, and their texts as a batch."""
    documents, data, offsets = batch.documents, *lay_out(batch.encoded)
    if not wanted.on:
        return documents, data, offsets
    texts = [document.text for document in documents]
    changed, data, offsets = normalise_batch(texts, data, offsets, wanted.form, repair=wanted.repair)
    sound = list(documents)
    for index, text in changed.items():
        sound[index] = replace(documents[index], text=text)
    return sound, data, offsets


def _or_null(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _languages(
    documents: list[Document], data: Data, offsets: Offsets, wanted: Language, verdicts: Verdicts
) -> tuple[list[str], NDArray[np.float64]]:
    """The language of each document, and how sure it is where the model was asked; NaN elsewhere."""
    stated = [document.lang for document in documents]
    asked = wanted.identify in ("always", "check") or (wanted.identify == "missing" and not all(stated))
    if not asked:
        return stated, np.full(len(stated), np.nan)
    found, sure = identify_languages(data, offsets, wanted.candidates, wanted.max_bytes)
    confidences = sure.astype(np.float64)
    if wanted.identify == "always":
        return found, confidences
    langs = [said or guessed for said, guessed in zip(stated, found, strict=True)]
    if wanted.identify == "missing":
        return langs, np.where([bool(said) for said in stated], np.nan, confidences)
    for index, (said, guessed) in enumerate(zip(stated, found, strict=True)):
        if said and said != guessed and confidences[index] >= wanted.min_contradiction:
            verdicts.drop(index, "min_contradiction", confidences[index], wanted.min_contradiction)
            verdicts.details[index]["identified"] = guessed
    return langs, confidences


def _find_listed(
    documents: list[Document], words: Words | None, langs: list[str], steps: Steps, verdicts: Verdicts
) -> NDArray[np.float64]:
    """Drop documents from listed sites and with many listed words; the share of those, NaN without a list."""
    if steps.sites is not None:
        for index, document in enumerate(documents):
            if entry := steps.sites.match(document.metadata.get("url", "")):
                verdicts.drop(index, "sites", 1.0, 0.0)
                verdicts.details[index]["site"] = entry
    if steps.words is None or words is None:
        return np.full(len(documents), np.nan)
    shares, most = steps.words.match(words, langs).shares(), steps.recipe.lists.max_listed_words
    for index in np.flatnonzero(shares > most).tolist():
        verdicts.drop(index, "max_listed_words", shares[index], most)
    return shares


def _score(data: Data, offsets: Offsets, words: Words | None, steps: Steps, verdicts: Verdicts) -> NDArray[np.float64]:
    """Drop what the classifier scores low; the score of each document, NaN without a classifier."""
    if steps.quality is None:
        return np.full(len(offsets) - 1, np.nan)
    scores, least = steps.quality.score(data, offsets, words).astype(np.float64), steps.recipe.quality.min_score
    for index in np.flatnonzero(scores < least).tolist():
        verdicts.drop(index, "min_score", scores[index], least)
    return scores


def _find_contamination(data: Data, offsets: Offsets, words: Words | None, steps: Steps, verdicts: Verdicts) -> None:
    """Drop what shares passages with evaluation data, and tell which."""
    if steps.contamination is None:
        return
    found = Counter[int]()
    for match in steps.contamination.find(data, offsets, words):
        found[match.text] += match.num_words
        passage = data[match.start : match.stop].tobytes().decode("utf-8", "replace")
        told = f"{passage[:_PASSAGE_SHOWN]!r} stands in {match.item.file}, line {match.item.record}, {match.item.field}"
        verdicts.details[match.text].setdefault("passages", []).append(told)
    for index, num_words in found.items():
        if num_words > steps.recipe.contamination.max_words:
            verdicts.drop(index, "contamination", num_words, steps.recipe.contamination.max_words)


def _fingerprints(
    data: Data, offsets: Offsets, wanted: Duplicates
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], dict[Passage, tuple[Hashes, Offsets]]]:
    found = fingerprint(data, offsets, near=wanted.near, paragraphs=wanted.paragraphs, windows=wanted.windows)
    passages = {kind: found.passages[kind] for kind in wanted.cut_kinds}
    return text_digests(data, offsets), band_keys(found.signatures), passages


def _mask(
    documents: list[Document], data: Data, offsets: Offsets, steps: Steps, verdicts: Verdicts
) -> tuple[dict[int, str], list[str]]:
    """The texts that are kept and had personal data, now without it; and the beginning of every text without any."""
    length, masked = steps.recipe.output.beginnings, dict[int, str]()
    beginnings = [document.text[:length] for document in documents]
    if not steps.personal.kinds:
        return masked, beginnings
    is_kept = verdicts.is_kept
    for index in np.flatnonzero(have_signs(data, offsets)).tolist():
        if not is_kept[index]:
            beginnings[index] = steps.personal.mask(beginnings[index])[0]
            continue
        text, counts = steps.personal.mask(documents[index].text)
        if counts:
            masked[index], beginnings[index] = text, text[:length]
            verdicts.details[index]["masked"] = counts
    return masked, beginnings


def have_signs(data: Data, offsets: Offsets) -> NDArray[np.bool_]:
    """Which texts of a batch may hold personal data: in the others none of its expressions can match."""
    from bise.corpus.kernels.signs import DENSE_DIGITS, find_signs

    has_signs = np.empty(len(offsets) - 1, np.bool_)
    find_signs(read_only(data), read_only(offsets), np.zeros(DENSE_DIGITS, np.int64), has_signs)
    return has_signs


def _text_columns(documents: list[Document], langs: list[str]) -> dict[str, Any]:
    return {
        "id": [document.id for document in documents],
        "source": [document.source for document in documents],
        "licence": [document.licence for document in documents],
        "lang": langs,
        "metadata": metadata_column(document.metadata for document in documents),
    }
