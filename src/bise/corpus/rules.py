"""Which documents to keep: thresholds over the matrix of statistics, decided for a whole batch at once.

A rule is a bound on one statistic. So a threshold can be tried again on stored statistics in milliseconds, without
reading any text, and every drop carries the rule's name (the key to change in the recipe), its value and threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bise.corpus.fineweb_2 import FINEWEB_2
from bise.corpus.statistics import COLUMN, Statistics

Family = Literal["gopher_quality", "gopher_repetition", "markup", "c4", "fineweb"]


@dataclass(frozen=True)
class Rules:
    """What a document must satisfy. Gopher is arXiv 2112.11446, C4 1910.10683, FineWeb 2406.17557."""

    languages: tuple[str, ...] = ()  # wanted ISO 639-1 codes; empty means all
    min_language_confidence: float = 0.0  # of the language found, 0 to 1
    families: tuple[Family, ...] = ("gopher_quality", "gopher_repetition", "markup", "fineweb")  # rules that apply
    fineweb_2: bool = False  # take the thresholds that FineWeb-2 (arXiv 2506.20920) found for each language it lists
    per_language: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # language -> rule -> threshold

    # gopher_quality
    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0  # characters
    max_mean_word_length: float = 10.0  # characters
    max_hashes_per_word: float = 0.1
    max_ellipses_per_word: float = 0.1
    max_bullet_lines: float = 0.9  # share of lines
    max_ellipsis_lines: float = 0.3  # share of lines
    min_alpha_words: float = 0.8  # share of tokens with a letter
    min_stop_words: int = 2  # different ones

    # markup, a graded form of C4's "no curly bracket"
    max_markup_per_word: float = 1.0  # {}[]<>|`*_=\

    # gopher_repetition: shares of lines, paragraphs or characters
    max_duplicate_paragraphs: float = 0.3
    max_duplicate_paragraph_characters: float = 0.2
    max_duplicate_lines: float = 0.3
    max_duplicate_line_characters: float = 0.2
    max_top_2_gram: float = 0.20
    max_top_3_gram: float = 0.18
    max_top_4_gram: float = 0.16
    max_duplicate_5_grams: float = 0.15
    max_duplicate_6_grams: float = 0.14
    max_duplicate_7_grams: float = 0.13
    max_duplicate_8_grams: float = 0.12
    max_duplicate_9_grams: float = 0.11
    max_duplicate_10_grams: float = 0.10

    # c4
    max_lorem_ipsum_lines: int = 0
    max_curly_bracket_lines: int = 0
    min_sentences: int = 5

    # fineweb
    min_punctuated_lines: float = 0.12  # share of lines that end as a sentence does
    max_short_lines: float = 0.67  # share of lines of at most 30 characters
    max_repeated_line_characters: float = 0.01  # share; the paper's text says 0.1, its table and code 0.01
    max_newlines_per_word: float = 0.3

    def __post_init__(self) -> None:
        for low, high in (("min_words", "max_words"), ("min_mean_word_length", "max_mean_word_length")):
            if not 0 <= getattr(self, low) <= getattr(self, high):
                raise ValueError(
                    f"{low} is {getattr(self, low)} and {high} is {getattr(self, high)}, "
                    f"but must satisfy 0 <= {low} <= {high}."
                )
        for bound in BOUNDS:
            _check(bound, getattr(self, bound.rule), "")
        _check_share("min_language_confidence", self.min_language_confidence)
        rules = {bound.rule: bound for bound in BOUNDS}
        for lang, thresholds in self.per_language.items():
            for rule, threshold in thresholds.items():
                if rule not in rules:
                    raise ValueError(f"per_language.{lang} names {rule}, but the rules are {', '.join(rules)}.")
                _check(rules[rule], threshold, f"per_language.{lang}.")


@dataclass(frozen=True)
class Bound:
    """One rule: the statistic that it bounds, and the side."""

    rule: str  # the name of its field in `Rules`
    family: Family
    is_share: bool

    @property
    def statistic(self) -> str:
        """The name of the column."""
        return self.rule[len("min_") :]

    @property
    def is_minimum(self) -> bool:
        """Whether values below the threshold fail, else those above."""
        return self.rule.startswith("min_")


_SHARES = ("bullet_lines", "ellipsis_lines", "alpha_words", "punctuated_lines", "short_lines", "repeated_line")
_FAMILIES: dict[Family, tuple[str, ...]] = {
    "gopher_quality": (
        *("min_words", "max_words", "min_mean_word_length", "max_mean_word_length", "max_hashes_per_word"),
        *("max_ellipses_per_word", "max_bullet_lines", "max_ellipsis_lines", "min_alpha_words", "min_stop_words"),
    ),
    "markup": ("max_markup_per_word",),
    "gopher_repetition": (
        *("max_duplicate_paragraphs", "max_duplicate_paragraph_characters"),
        *("max_duplicate_lines", "max_duplicate_line_characters"),
        *("max_top_2_gram", "max_top_3_gram", "max_top_4_gram"),
        *(f"max_duplicate_{n}_grams" for n in range(5, 11)),
    ),
    "c4": ("max_lorem_ipsum_lines", "max_curly_bracket_lines", "min_sentences"),
    "fineweb": (*("min_punctuated_lines", "max_short_lines", "max_repeated_line_characters", "max_newlines_per_word"),),
}
# In the order in which reasons are given, but for the two of C4 that the order of the lines decides.
BOUNDS: tuple[Bound, ...] = tuple(
    Bound(rule, family, family == "gopher_repetition" or rule[len("min_") :].startswith(_SHARES))
    for family, rules in _FAMILIES.items()
    for rule in rules
)
REASONS: tuple[str, ...] = ("languages", "min_language_confidence", *(bound.rule for bound in BOUNDS))
_LOREM_IPSUM, _CURLY_BRACKET = REASONS.index("max_lorem_ipsum_lines"), REASONS.index("max_curly_bracket_lines")
_IS_MINIMUM = np.array([bound.is_minimum for bound in BOUNDS])
_COLUMNS = np.array([COLUMN[bound.statistic] for bound in BOUNDS])


@dataclass(frozen=True)
class Drop:
    """Why a document is not kept: the recipe's key, the document's value, and the threshold it failed."""

    reason: str
    value: float
    threshold: float
    twin: str = ""  # id of the kept document that this one repeats


@dataclass(frozen=True)
class Decisions:
    """What the rules say of each document of a batch [n]."""

    reason: NDArray[np.int16]  # index into REASONS of the first rule that fails, -1 to keep
    value: NDArray[np.float64]
    threshold: NDArray[np.float64]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which documents pass every rule."""
        return self.reason < 0

    def drop(self, index: int) -> Drop | None:
        """The decision about one document."""
        reason = int(self.reason[index])
        if reason < 0:
            return None
        return Drop(REASONS[reason], float(self.value[index]), float(self.threshold[index]))


def judge(
    statistics: Statistics, langs: Sequence[str], rules: Rules, confidences: NDArray[np.floating] | None = None
) -> Decisions:
    """Decide every document; the reason given is the first that fails, in the order of `REASONS`.

    Of C4's lorem ipsum and curly brackets the one that a reader of the lines meets first is given.

    Args:
        statistics: of the documents.
        langs: ISO 639-1 code of each document, which chooses its thresholds.
        rules: the thresholds.
        confidences: of the languages, 0 to 1, where they were identified.
    """
    codes = sorted(set(langs))
    rows = np.array([codes.index(lang) for lang in langs], np.intp)
    thresholds = np.array([thresholds_for(rules, lang) for lang in codes]).reshape(-1, len(BOUNDS))[rows]
    values = statistics.matrix[:, _COLUMNS]
    wanted = np.array([not rules.languages or lang in rules.languages for lang in codes], bool)[rows]
    sure = np.ones(len(rows)) if confidences is None else confidences.astype(np.float64)
    # A language is one of the wanted ones (1) or not (0), and must be.
    values = np.column_stack([wanted.astype(np.float64), sure, values])
    needed = np.full((len(rows), 2), (1.0, rules.min_language_confidence))
    thresholds = np.column_stack([needed, thresholds])
    is_minimum = np.concatenate([[True, True], _IS_MINIMUM])
    # A comparison with NaN is false: a rule that is switched off, or a statistic that is not known, drops nothing.
    failed = np.where(is_minimum, values < thresholds, values > thresholds)
    # C4 goes line by line: where curly brackets are too many before there is any lorem ipsum, they are the reason.
    failed[:, _LOREM_IPSUM] &= ~(statistics.column("early_curly_bracket_lines") > thresholds[:, _CURLY_BRACKET])
    first = failed.argmax(axis=1) if len(rows) else np.zeros(0, np.intp)
    dropped = failed.any(axis=1)
    documents = np.arange(len(rows))
    return Decisions(
        reason=np.where(dropped, first, -1).astype(np.int16),
        value=np.where(dropped, values[documents, first], np.nan),
        threshold=np.where(dropped, thresholds[documents, first], np.nan),
    )


def thresholds_for(rules: Rules, lang: str) -> list[float]:
    """The threshold of each bound for one language; NaN where its family is switched off."""
    adapted = FINEWEB_2.get(lang, {}) if rules.fineweb_2 else {}
    chosen = {**adapted, **rules.per_language.get(lang, {})}
    return [
        float(chosen.get(bound.rule, getattr(rules, bound.rule))) if bound.family in rules.families else np.nan
        for bound in BOUNDS
    ]


def _check(bound: Bound, threshold: float, where: str) -> None:
    if bound.is_share:
        _check_share(where + bound.rule, threshold)
    elif threshold < 0:
        raise ValueError(f"{where}{bound.rule} is {threshold}, but must be at least 0.")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, but is a share and must be between 0 and 1.")
