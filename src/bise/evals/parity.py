"""How evenly a model serves languages: what the same sentences cost in each, beside English.

Bits per byte cannot say that, since languages need other numbers of bytes for the same. Sentences that say the same thing
can: the bits of each are the model's share of the difference, and tokens per byte (Petrov et al. 2023) the vocabulary's,
which is what a user pays and waits for. Ratios to English are paired by sentence, and so are their intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bise.errors import InputError
from bise.evals.api import Api, Progress
from bise.evals.data import Questions, find_files, read_records, sample
from bise.evals.results import Item, Results, item_id, read_items
from bise.evals.rolling import score_documents
from bise.evals.shapes import anything, some_text
from bise.evals.statistics import Estimate, Floats, estimate, ratio
from bise.evals.tasks import EvalSettings, Suite, Task

NAME = "parity"
REFERENCE = "en"
_QUESTIONS = Questions("pud-parallel/all", {"id": anything, REFERENCE: some_text})
_BITS, _TOKENS = f"{NAME}-bits", f"{NAME}-tokens"


@dataclass(frozen=True)
class LanguageParity:
    """What the sentences cost in one language; ratios are to the same sentences in English."""

    language: str
    num_sentences: int
    bits_per_sentence: Estimate
    bits_ratio: Estimate
    tokens_per_byte: Estimate
    tokens_per_byte_ratio: Estimate
    tokens_ratio: Estimate  # of tokens for the same content


def _tasks(settings: EvalSettings) -> Sequence[Task]:
    """Two tasks for each language of the first record."""
    files = find_files(settings.data.root, _QUESTIONS)
    first = next(read_records(files, _QUESTIONS.fields), None)
    if first is None:
        raise InputError(f"{files[0]} holds no sentences.")
    languages = sorted(first.keys() - {"id"}, key=lambda language: (language != REFERENCE, language))
    kinds = (("bits", "bits_per_sentence", _measure_bits), ("tokens", "tokens_per_byte", _measure_tokens))
    return [
        Task(
            NAME,
            f"{NAME}-{kind}-{language}",
            metric,
            files,
            partial(measure, _Asked(files, tuple(languages), language)),
            "likelihood",
            language,
            higher_is_better=False,
            is_binary=False,
        )
        for kind, metric, measure in kinds
        for language in languages
    ]


@dataclass(frozen=True)
class _Asked:
    """The sentences of one language; their records have names that all languages share."""

    files: tuple[Path, ...]
    languages: tuple[str, ...]
    language: str

    def draw(self, settings: EvalSettings) -> tuple[list[str], list[str]]:
        """Names and sentences."""
        fields = {"id": anything} | dict.fromkeys(self.languages, some_text)
        records = sample(read_records(self.files, fields), settings.limit, settings.seed)
        names = [item_id(*(record[language] for language in self.languages)) for record in records]
        return names, [record[self.language] for record in records]


def _measure_bits(asked: _Asked, api: Api, settings: EvalSettings, progress: Progress) -> list[Item]:
    names, sentences = asked.draw(settings)
    return [
        Item(name, score.nats / math.log(2), 1.0, score.size_bytes, asked.language)
        for name, score in zip(names, score_documents(api, sentences, progress), strict=True)
    ]


def _measure_tokens(asked: _Asked, api: Api, settings: EvalSettings, progress: Progress) -> list[Item]:
    names, sentences = asked.draw(settings)
    return [
        Item(name, float(len(ids)), float(size), size, asked.language)
        for name, sentence, ids in zip(names, sentences, api.tokenize(sentences, progress), strict=True)
        if (size := len(sentence.encode()))
    ]


SUITE = Suite(NAME, "bits of the same sentences and tokens per byte in each language, beside English", _tasks)


def parity_of(directory: Path, results: Results, seed: int = 0) -> list[LanguageParity]:
    """What a results directory says of each language, English first; nothing where the suite was not measured.

    Raises:
        InputError: a log of items is damaged.
        NotFoundError: one is missing.
    """
    languages = [task.language for task in results.tasks if task.task.startswith(_BITS)]
    sides = {
        (kind, language): {item.id: item for item in read_items(directory, f"{kind}-{language}")}
        for kind in (_BITS, _TOKENS)
        for language in languages
        if results.task(f"{kind}-{language}") is not None
    }
    if (_BITS, REFERENCE) not in sides:
        return []
    return [
        _language(language, sides, seed)
        for language in languages
        if {(_TOKENS, language), (_TOKENS, REFERENCE)} <= sides.keys()
    ]


def _language(language: str, sides: Mapping[tuple[str, str], Mapping[str, Item]], seed: int) -> LanguageParity:
    """Compare one language with English on the sentences that all logs hold."""
    bits, english_bits = sides[_BITS, language], sides[_BITS, REFERENCE]
    tokens, english_tokens = sides[_TOKENS, language], sides[_TOKENS, REFERENCE]
    shared = sorted(bits.keys() & english_bits.keys() & tokens.keys() & english_tokens.keys())
    own, theirs = _columns(bits, tokens, shared), _columns(english_bits, english_tokens, shared)
    rows = np.concatenate([own, theirs], axis=1)

    def over_english(column: int) -> Estimate:
        return estimate(rows, lambda sums: sums[:, column] / sums[:, 3 + column], seed)

    return LanguageParity(
        language,
        len(shared),
        ratio(own[:, 0], np.ones(len(shared)), seed),
        over_english(0),
        ratio(own[:, 1], own[:, 2], seed),
        estimate(rows, lambda sums: sums[:, 1] / sums[:, 2] / (sums[:, 4] / sums[:, 5]), seed),
        over_english(1),
    )


def _columns(bits: Mapping[str, Item], tokens: Mapping[str, Item], shared: Sequence[str]) -> Floats:
    """Bits, tokens and bytes of each sentence, [N, 3]."""
    return np.array([[bits[key].value, tokens[key].value, tokens[key].weight] for key in shared])
