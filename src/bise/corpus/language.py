"""Which language a text is in: py3langid's model of 140 labels, walked in compiled code. Offline; the model is in the
package (BSD-3-Clause).

Labels are those of py3langid on the same bytes. By default the first 1,000 bytes are read: enough to tell what a page
is in, and reading on would cost more than all the rules together.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bise.corpus import characters
from bise.corpus.texts import Data, Offsets, pack, read_only
from bise.errors import InputError, UnavailableError

MAX_BYTES = 1000
_WALKED_AT_ONCE = 1 << 22  # bytes of texts side by side
_VECTORS = 32  # labels that the compiled loop adds at once; a rest would be added one by one


@dataclass(frozen=True)
class LanguageModel:
    """The automaton and the weights of the labels that may be given."""

    labels: tuple[str, ...]  # of each column; some languages have two
    first_row: int  # of the state before any byte
    moves: NDArray[np.uint32]  # [rows * 256]: next row << 16 | place of the next state among those of its row
    first_states: NDArray[np.int64]  # of each row
    features: NDArray[np.int32]  # of each state, -1 for none
    weights: NDArray[np.uint16]  # bits of 16-bit numbers [features, labels, and zeros up to whole vectors]
    priors: NDArray[np.float32]  # [labels]


def identify_languages(
    data: Data, offsets: Offsets, languages: Sequence[str] = (), max_bytes: int | None = MAX_BYTES
) -> tuple[list[str], NDArray[np.float32]]:
    """The language of each text and how sure that is, 0 to 1.

    Args:
        data: UTF-8 bytes of all texts.
        offsets: where each begins, and the end of the last [n + 1].
        languages: the codes to choose from; all that the model knows when empty.
        max_bytes: how much of each text to read; all when None.

    Returns:
        An ISO 639 code for each text ("" where nothing in it is known, "zxx" where it is no language), and shares of
        probability after a softmax at a temperature of the square root of the bytes read, as py3langid's.

    Raises:
        InputError: the model does not know one of the languages.
        UnavailableError: py3langid is not installed.
    """
    model = load_model(tuple(languages))
    starts, stops = offsets[:-1], _stops(data, offsets, max_bytes)
    scores, found, sizes = _score(data, starts, stops, model)
    awkward = _awkward(data, starts, stops)
    if len(awkward):
        texts = [_normalise(data[starts[k] : stops[k]].tobytes().decode("utf-8")) for k in awkward]
        other_data, other_offsets = pack(texts)
        changed = _score(other_data, other_offsets[:-1], other_offsets[1:], model)
        scores[awkward], found[awkward], sizes[awkward] = changed
    return _decide(scores, found, sizes, model.labels)


def _stops(data: Data, offsets: Offsets, max_bytes: int | None) -> NDArray[np.int64]:
    """Where to stop reading each text: never within a character."""
    if max_bytes is None:
        return offsets[1:]
    stops = np.minimum(offsets[1:], offsets[:-1] + max_bytes)
    for _ in range(3):
        inside = stops < offsets[1:]
        inside[inside] = (data[stops[inside]] & 0xC0) == 0x80
        stops = stops - inside
    return stops


def _awkward(data: Data, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    from bise.corpus.kernels.language import find_awkward

    awkward = np.empty(len(starts), np.bool_)
    find_awkward(read_only(data), read_only(starts), read_only(stops), characters.forms(), awkward)
    return np.flatnonzero(awkward)


def _normalise(text: str) -> str:
    """What py3langid does to every text."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text)


def _score(
    data: Data, starts: NDArray[np.int64], stops: NDArray[np.int64], model: LanguageModel
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Score of each label [n, labels], different features found [n] and bytes read [n]."""
    from bise.corpus.kernels.language import LANES, score_batch

    scores = np.zeros((len(starts), model.weights.shape[1]), np.float32)
    scores[:, : len(model.priors)] = model.priors
    found = np.empty(len(starts), np.int64)
    tables = model.first_row, model.moves, model.first_states, model.features, model.weights
    sizes = stops - starts
    longest = int(sizes.max(initial=0))
    counts = np.zeros(len(model.weights) + 1, np.int32)
    counts[-1] = 1
    order = np.empty(longest + 1, np.int32)
    num_lanes = max(1, min(LANES, _WALKED_AT_ONCE // max(longest, 1)))
    scratch = np.empty((num_lanes, longest), np.uint32), counts, order, np.empty(num_lanes, np.int64)
    factors = np.log1p(np.arange(longest + 1, dtype=np.float32))
    score_batch(read_only(data), read_only(starts), read_only(stops), *tables, factors, scratch, scores, found)
    return scores[:, : len(model.priors)], found, sizes


def _decide(
    scores: NDArray[np.float32], found: NDArray[np.int64], sizes: NDArray[np.int64], labels: tuple[str, ...]
) -> tuple[list[str], NDArray[np.float32]]:
    """The label with the highest score, and its share of the probability, that of its second column included."""
    if not len(scores):
        return [], np.empty(0, np.float32)
    best = scores.argmax(axis=1)
    tempered = scores / np.sqrt(np.maximum(sizes, 1)).astype(np.float32)[:, None]
    shares = np.exp(tempered - tempered.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    first_column = {label: column for column, label in reversed(list(enumerate(labels)))}
    same = np.array([first_column[label] for label in labels])
    confidences = np.where(same == same[best][:, None], shares, 0).sum(axis=1)
    codes = [labels[column] if some else "" for column, some in zip(best, found, strict=True)]
    return codes, np.where(found > 0, confidences, 0).astype(np.float32)


@cache
def load_model(languages: tuple[str, ...] = ()) -> LanguageModel:
    """The model in memory (68 MB), for some languages or all; half a second once a process."""
    if languages:
        whole = load_model()
        unknown = sorted(set(languages) - set(whole.labels))
        if unknown:
            known = ", ".join(sorted(set(whole.labels)))
            raise InputError(f"No model of the language {', '.join(unknown)}. Known codes: {known}.")
        columns = [column for column, label in enumerate(whole.labels) if label in languages]
        return LanguageModel(
            tuple(whole.labels[column] for column in columns),
            whole.first_row,
            whole.moves,
            whole.first_states,
            whole.features,
            _in_vectors(whole.weights[:, columns]),
            whole.priors[columns],
        )
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UnavailableError("Telling languages needs py3langid. Type: pip install 'bise[corpus]'") from None
    known_model = LanguageIdentifier.from_model_file(MODEL_FILE)
    rows = np.frombuffer(known_model.tk_row, np.dtype(known_model.tk_row.typecode)).astype(np.int64)
    next_states = np.frombuffer(known_model.tk_nextmove, np.dtype(known_model.tk_nextmove.typecode))
    return _arrange(rows, next_states, known_model)


def _arrange(rows: NDArray[np.int64], next_states: NDArray[np.unsignedinteger], model: object) -> LanguageModel:
    """Number the states anew, row by row."""
    order = np.argsort(rows, kind="stable")
    places = np.empty(len(rows), np.int64)
    first_states = np.searchsorted(rows[order], np.arange(rows.max() + 1))
    places[order] = np.arange(len(rows)) - first_states[rows[order]]
    assert max(places.max(), rows.max()) < 1 << 16
    moves = ((rows << 16) | places).astype(np.uint32)[next_states]
    features = np.asarray(model.tk_output, np.int32)[order]  # type: ignore[attr-defined]
    weights = np.asarray(model.nb_ptc, np.float16).view(np.uint16)  # type: ignore[attr-defined]
    labels, priors = tuple(model.nb_classes), np.asarray(model.nb_pc, np.float32)  # type: ignore[attr-defined]
    return LanguageModel(labels, int(rows[0]), moves, first_states, features, _in_vectors(weights), priors)


def _in_vectors(weights: NDArray[np.uint16]) -> NDArray[np.uint16]:
    num_labels = weights.shape[1]
    return np.pad(weights, ((0, 0), (0, -num_labels % _VECTORS)))
