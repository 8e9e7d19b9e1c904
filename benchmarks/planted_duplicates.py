"""Near copies planted in real prose at a measured similarity: how many are found, and how many are found wrongly.

Every text is taken from a different document. An edit of one of three styles goes on until the Jaccard similarity of
the word 5-grams, measured here by plain sets of words, comes down to the one wanted:

    spread   single words replaced here and there
    block    one passage replaced
    wrap     foreign text put before and after
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bise.corpus.duplicates import band_keys, find_near_duplicates, shingles, signatures
from bise.corpus.texts import pack

STYLES = ("spread", "block", "wrap")
SIMILARITIES = (0.9, 0.8, 0.7, 0.6, 0.5)
TEXT_WORDS = 300
PER_CELL = 60


@dataclass(frozen=True)
class Plant:
    """A pair of texts by their places in the list, and how alike they are."""

    original: int
    copy: int
    style: str
    wanted: float
    measured: float


def measure_recall(documents: Sequence[str], seed: int = 1) -> dict[str, float]:
    """Share of the pairs found at each similarity, by style and together, and unique texts that were lost."""
    rng = random.Random(seed)
    texts, plants = plant(prose(documents, rng), rng)
    found = find_near_duplicates(
        band_keys(signatures(*pack(texts))), lambda rows: shingles(*pack([texts[row] for row in rows]))
    )
    figures: dict[str, float] = {}
    for wanted in SIMILARITIES:
        kind = "recall" if wanted >= 0.7 else "removed"
        name = f"{kind}_at_{wanted}".replace(".", "_")
        pairs = [pair for pair in plants if pair.wanted == wanted]
        hits: dict[str, list[bool]] = {style: [] for style in STYLES}
        for pair in pairs:
            together = found.cluster[pair.copy] >= 0 and found.cluster[pair.copy] == found.cluster[pair.original]
            hits[pair.style].append(bool(together))
        figures[name] = round(sum(map(sum, hits.values())) / len(pairs), 4)
        figures |= {f"{name}_{style}": round(sum(hits[style]) / len(hits[style]), 4) for style in STYLES}
    planted = {place for pair in plants for place in (pair.original, pair.copy)}
    figures["unique_texts"] = len(texts) - len(planted)
    figures["unique_removed"] = sum(bool(found.removed[row]) for row in range(len(texts)) if row not in planted)
    figures["pairs_a_cell"] = PER_CELL
    return figures


def prose(documents: Sequence[str], rng: random.Random) -> list[list[str]]:
    """A passage of each document that is long enough, as words; none that shares a twentieth with those before."""
    passages = []
    seen: set[tuple[str, ...]] = set()
    for text in documents:
        words = text.split()
        if len(words) >= TEXT_WORDS + 100:
            start = rng.randrange(len(words) - TEXT_WORDS)
            passage = words[start : start + TEXT_WORDS]
            grams = five_grams(passage)
            if len(grams & seen) <= len(grams) / 20:
                passages.append(passage)
            seen |= grams
    rng.shuffle(passages)
    return passages


def plant(passages: list[list[str]], rng: random.Random) -> tuple[list[str], list[Plant]]:
    """Pairs for every cell, and the other passages as they are."""
    cells = [(wanted, style) for wanted in SIMILARITIES for style in STYLES for _ in range(PER_CELL)]
    if len(passages) < 2 * len(cells):
        raise SystemExit(f"{2 * len(cells):,} long documents are needed, and {len(passages):,} were given.")
    foreign = passages[len(passages) // 2 :]
    texts: list[str] = []
    plants: list[Plant] = []
    for (wanted, style), words in zip(cells, passages, strict=False):
        copy, measured = edit(words, wanted, style, rng.choice(foreign), rng)
        plants.append(Plant(len(texts), len(texts) + 1, style, wanted, measured))
        texts += [" ".join(words), " ".join(copy)]
    texts += [" ".join(words) for words in passages[len(cells) : len(passages) // 2]]
    return texts, plants


def edit(
    words: list[str], wanted: float, style: str, foreign: list[str], rng: random.Random
) -> tuple[list[str], float]:
    """Edit more and more, to the last step at which the similarity is still at least the one wanted."""
    places = rng.sample(range(len(words)), len(words))
    begin = rng.randrange(len(words) // 2)
    fewest, most = 0, len(words) - 1  # the similarity falls with the amount
    while fewest < most:
        amount = (fewest + most + 1) // 2
        if jaccard(words, edited(words, amount, style, foreign, begin, places)) >= wanted:
            fewest = amount
        else:
            most = amount - 1
    copy = edited(words, fewest, style, foreign, begin, places)
    return copy, jaccard(words, copy)


def edited(words: list[str], amount: int, style: str, foreign: list[str], begin: int, places: list[int]) -> list[str]:
    """The words after an edit of one style, of `amount` words."""
    if style == "wrap":
        return foreign[: amount // 2] + words + foreign[len(foreign) - (amount - amount // 2) :]
    copy = list(words)
    for k in range(amount):
        place = places[k] if style == "spread" else (begin + k) % len(words)
        copy[place] = foreign[k]
    return copy


def jaccard(one: list[str], other: list[str]) -> float:
    """Of the sets of word 5-grams, by plain Python."""
    a, b = five_grams(one), five_grams(other)
    return len(a & b) / len(a | b)


def five_grams(words: list[str]) -> set[tuple[str, ...]]:
    """Of lower-case letters and digits."""
    plain = re.findall(r"[^\W_]+", " ".join(words).lower())
    return {tuple(plain[k : k + 5]) for k in range(len(plain) - 4)}
