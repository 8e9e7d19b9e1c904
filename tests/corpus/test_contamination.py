"""Whatever stands in the evaluation data is found in the corpus, shown with its place; nothing else is."""

import json
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.contamination import Contamination, Match
from bise.corpus.texts import pack
from bise.corpus.words import Beginnings, GramTable, grams, split_words
from bise.errors import InputError, NotFoundError

EVAL = Path(__file__).parents[3] / "shared/data/eval"
QUESTION = "If a train leaves the old station at nine and stops twice on its way to the sea, when does it arrive?"
SHORT = "Which river flows through the town of Basel today?"  # nine words
OTHER = "The baker at the corner lights the oven long before the sun is up and hums while he weighs the flour."


@pytest.fixture
def contamination(tmp_path: Path) -> Contamination:
    records = [
        {"question": QUESTION, "answer": 9},
        {"question": SHORT, "choices": ["The Rhine", {"more": OTHER}]},
        {"question": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"},
    ]
    path = tmp_path / "quiz.jsonl.xz"
    path.write_bytes(lzma.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    return Contamination.build([path], tmp_path)


def find(contamination: Contamination, *texts: str) -> list[tuple[Match, str]]:
    data, offsets = pack(texts)
    return [(match, data[match.start : match.stop].tobytes().decode()) for match in contamination.find(data, offsets)]


def test_a_passage_is_shown_with_its_place(contamination: Contamination) -> None:
    [(match, passage)] = find(contamination, "Nothing here.", f"Question: “{QUESTION}” he asked.")
    assert passage == QUESTION.rstrip("?")
    assert (match.text, match.num_words) == (1, len(QUESTION.split()))
    assert (match.item.file, match.item.record, match.item.field) == ("quiz.jsonl.xz", 1, "question")
    [(match, _)] = find(contamination, OTHER)
    assert (match.item.record, match.item.field) == (2, "choices[1].more")


@pytest.mark.parametrize(
    "spelling", [str.upper, lambda text: text.replace(" ", "\n* "), lambda text: re.sub(r"\W+", ", ", text)]
)
def test_case_and_punctuation_do_not_hide_a_passage(contamination: Contamination, spelling) -> None:  # type: ignore[no-untyped-def]
    for text in (QUESTION, SHORT):
        assert len(find(contamination, f"Before. {spelling(text)}. After.")) == 1


def test_twelve_words_of_a_long_question_are_no_match_and_thirteen_are(contamination: Contamination) -> None:
    words = QUESTION.split()
    assert not find(contamination, " ".join(words[:12]))
    [(match, _)] = find(contamination, "and so " + " ".join(words[3:16]) + " somewhere else")
    assert match.num_words == 13


def test_a_short_question_is_a_match_as_a_whole_only(contamination: Contamination) -> None:
    assert not find(contamination, SHORT.replace("today", "now"), "The Rhine", " ".join(SHORT.split()[:8]))
    assert len(find(contamination, f"{SHORT} {SHORT}")) in (1, 2)


def test_counting_is_no_match(contamination: Contamination) -> None:
    assert not find(contamination, " ".join(map(str, range(30))))


def test_only_the_fields_asked_for_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    path.write_text(json.dumps({"question": QUESTION, "meta": OTHER}) + "\n", encoding="utf-8")
    contamination = Contamination.build([path], tmp_path, fields=("question",))
    assert find(contamination, QUESTION)
    assert not find(contamination, OTHER)


def test_what_cannot_be_looked_for_is_said(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    path.write_text('{"a": "too short"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="has at least 8 words"):
        Contamination.build([path])
    path.write_text('{"a": \n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: not JSON .* Mend the evaluation data"):
        Contamination.build([path])
    with pytest.raises(NotFoundError, match="no evaluation data"):
        Contamination.build([tmp_path / "absent.jsonl"])
    with pytest.raises(InputError, match="do not fit"):
        Contamination.build([path], min_words=20)


def test_texts_of_a_batch_do_not_run_into_each_other(contamination: Contamination) -> None:
    words = QUESTION.split()
    assert not find(contamination, " ".join(words[:10]), " ".join(words[10:]))


@settings(deadline=None)
@given(st.lists(st.text(alphabet="aß É.,日本'_🙂\n2", max_size=30), max_size=5))
def test_words_are_those_that_a_regular_expression_finds(texts: list[str]) -> None:
    data, offsets = pack(texts)
    words = split_words(data, offsets)
    found = [
        [data[words.starts[k] : words.stops[k]].tobytes().decode() for k in range(words.firsts[i], words.firsts[i + 1])]
        for i in range(len(texts))
    ]
    assert found == [re.findall(r"日|本|🙂|[aßÉ2]+", text) for text in texts]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="abc ", max_size=60), min_size=1, max_size=4), st.integers(1, 4))
def test_every_sequence_is_found_at_its_beginning(texts: list[str], length: int) -> None:
    words = split_words(*pack(texts))
    ends = words.firsts[1:]
    starts = [k for i, end in enumerate(ends) for k in range(words.firsts[i], end - length + 1)]
    hashes = grams(words, np.array(starts, np.int64), length)
    distinct = np.unique(hashes)
    found, num_left = Beginnings.build(distinct, length).find(words)
    assert found.tolist() == starts
    assert num_left.tolist() == [
        end - k for i, end in enumerate(ends) for k in range(words.firsts[i], end - length + 1)
    ]
    assert (distinct[GramTable.build(distinct).places(hashes)] == hashes).all()


def test_nearly_every_place_is_passed_over() -> None:
    noted, other = (split_words(*pack([" ".join(f"{kind}{k}" for k in range(20_000))])) for kind in "ab")
    beginnings = Beginnings.build(grams(noted, np.arange(19_990), 8), 8)
    assert len(beginnings.find(noted)[0]) >= 19_990
    assert len(beginnings.find(other)[0]) < 500
    assert (GramTable.build(np.unique(grams(noted, np.arange(9), 8))).places(grams(other, np.arange(9), 8)) == -1).all()


@pytest.mark.slow
@pytest.mark.skipif(not EVAL.exists(), reason="needs the shared data package")
def test_real_evaluations_find_themselves() -> None:
    files = sorted((EVAL / "mgsm").glob("*.jsonl.xz"))
    contamination = Contamination.build(files, EVAL)
    for path in files:
        with lzma.open(path) as lines:
            questions = [json.loads(line)["question"] for line in lines]
        data, offsets = pack(questions)
        assert {match.text for match in contamination.find(data, offsets)} == set(range(len(questions)))
