"""Spans are all the longest common runs of words that a search finds; the pieces are the text; common words say nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.index import open_index
from bise.errors import InputError, NotFoundError, UnavailableError
from bise.openness.corpora import corpora_of, open_indices
from bise.openness.lineage import lineage_of
from bise.openness.recited import look_up, read_texts
from bise.openness.trace import TraceSettings, trace
from bise.runs import RunDirectory, run_input
from tests.corpus.test_index import CORPORA, TEXTS, indexed, occurrences, words_of

EVERYTHING = TraceSettings(min_words=2, min_bits=0)
TALE = "In the year of the great flood the miller of Ostwick carried his seven geese across the frozen river at night."


@given(CORPORA, TEXTS, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_spans_are_those_of_a_search(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], question: str, min_words: int
) -> None:
    index = open_index(indexed(tmp_path_factory.mktemp("i"), texts))
    documents, asked = [words_of(text) for text in texts], words_of(question)
    standing = {
        (first, stop)
        for first in range(len(asked))
        for stop in range(first + 1, len(asked) + 1)
        if occurrences(documents, asked[first:stop])
    }
    inside = {(a, b) for a, b in standing if (a - 1, b) in standing or (a, b + 1) in standing}
    wanted = sorted((a, b) for a, b in standing - inside if b - a >= min_words)
    found = trace(index, question, TraceSettings(min_words, min_bits=0))
    assert [(span.first, span.stop) for span in found.spans] == wanted
    assert "".join(piece.text for piece in found.pieces) == question
    covered = {word for first, stop in wanted for word in range(first, stop)}
    assert found.share == pytest.approx(len(covered) / len(asked) if asked else 0)


def test_a_passage_of_rare_words_is_found_and_marked_in_the_text(tmp_path: Path) -> None:
    index = open_index(indexed(tmp_path, ["Of the year, and of the night, and of the river.", TALE]))
    text = f"As I said: {TALE[:76]} bridge. Of the year, and more."
    found = trace(index, text)
    (span,) = found.spans
    assert span.text == TALE[:76]
    assert span.places[0].document == "d1"
    marked = [piece.text for piece in found.pieces if piece.span == 0]
    assert marked == [span.text]
    assert "".join(piece.text for piece in found.pieces) == text


WARM = """
import sys
from pathlib import Path
from bise.corpus.index import open_index
from bise.corpus.kernels import runs_of_words, spans
from bise.openness.trace import trace, warm

kernels = (runs_of_words.count_words, runs_of_words.find_words, spans.longest_matches, spans.find_range, spans.end_of_words)
warm()
before = [len(kernel.signatures) for kernel in kernels]
found = trace(open_index(Path(sys.argv[1])), sys.argv[2])
print(len(found.spans), before, [len(kernel.signatures) for kernel in kernels])
"""


def test_a_look_up_after_warming_compiles_nothing(tmp_path: Path) -> None:
    indexed(tmp_path, [TALE])
    directory = next(path.parent for path in tmp_path.rglob("index.json"))
    done = subprocess.run([sys.executable, "-c", WARM, directory, TALE], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"1 {[1] * 5} {[1] * 5}"


def test_words_that_are_everywhere_are_no_finding(tmp_path: Path) -> None:
    index = open_index(indexed(tmp_path, ["one and two and three and four and five"] * 50))
    assert not trace(index, "one and two and three and four and five").spans
    assert trace(index, "one and two and three and four and five", EVERYTHING).spans[0].occurrences == 50


def test_lines_of_a_file_are_counted(tmp_path: Path) -> None:
    index = open_index(indexed(tmp_path, [TALE]))
    file = tmp_path / "questions.jsonl"
    file.write_text(f'{{"question": ["What?", "{TALE}"], "n": 1}}\n\n{{"question": "Why?"}}\n', encoding="utf-8")
    seen, unseen = look_up(index, file, TraceSettings())
    assert (seen.line, seen.longest, len(seen.spans)) == (1, len(words_of(TALE)), 1)
    assert seen.share == pytest.approx(len(words_of(TALE)) / (len(words_of(TALE)) + 2))
    assert (unseen.line, unseen.share) == (3, 0)


def test_a_file_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file at"):
        list(read_texts(tmp_path / "absent.jsonl"))
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{', encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        list(read_texts(tmp_path / "bad.jsonl"))


def test_the_corpora_of_a_model_are_found_or_named(tmp_path: Path) -> None:
    indexed(tmp_path, [TALE])
    train = RunDirectory(tmp_path, "train", "a")
    train.finish({}, [run_input(tmp_path / "curate/one")], {})
    corpora = corpora_of(lineage_of(train.path, tmp_path))
    assert [corpus.name for corpus in corpora] == ["curate/one"]
    assert trace(open_indices(corpora, "a"), TALE).share == 1
    (tmp_path / "index/one/manifest.json").unlink()
    with pytest.raises(UnavailableError, match=r"not indexed on this machine: curate/one"):
        open_indices(corpora_of(lineage_of(train.path, tmp_path)), "a")
    with pytest.raises(UnavailableError, match="do not say what corpus"):
        open_indices((), "a")
