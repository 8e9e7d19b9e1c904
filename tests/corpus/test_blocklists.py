"""Sites are blocked with all below them, words are found whole in any case, and lists that cannot be read are refused."""

import json
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.blocklists import UrlBlocklist, WordList
from bise.corpus.texts import pack
from bise.corpus.words import split_words
from bise.errors import InputError

LDNOOBW = Path(__file__).parents[3] / "shared/data/dirty/ldnoobw/all-00.jsonl.xz"
LIST = """# sites
bad.example
0.0.0.0 ads.example www.ads2.example localhost
||tracker.example^
https://mixed.example/forum/spam/   # only there
! a remark
*.wild.example
bücher.example
"""


@pytest.fixture
def blocklist(tmp_path: Path) -> UrlBlocklist:
    (tmp_path / "sites.txt").write_text(LIST, encoding="utf-8")
    return UrlBlocklist.read([tmp_path / "sites.txt"])


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://bad.example/", "bad.example"),
        ("http://WWW.Bad.Example:8080/a?b#c", "bad.example"),
        ("https://notbad.example/", ""),
        ("https://bad.example.org/", ""),
        ("https://ads.example", "ads.example"),
        ("https://ads2.example", ""),
        ("https://a.www.ads2.example", "www.ads2.example"),
        ("//tracker.example/x", "tracker.example"),
        ("https://mixed.example/", ""),
        ("https://mixed.example/forum/spammer", ""),
        ("https://www.mixed.example/forum/spam/1.html", "mixed.example/forum/spam"),
        ("wild.example", "wild.example"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("http://localhost/", ""),
        ("", ""),
        ("http://[half", ""),
    ],
)
def test_a_domain_blocks_all_below_it(blocklist: UrlBlocklist, url: str, entry: str) -> None:
    assert blocklist.match(url) == entry


@pytest.mark.parametrize("line", ["two words here", "bad*.example", "/^regex$/", "a^$third-party"])
def test_an_entry_that_is_not_understood_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "sites.txt").write_text(f"good.example\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"sites.txt, line 2: "):
        UrlBlocklist.read([tmp_path / "sites.txt"])


def test_lists_that_are_empty_absent_or_damaged_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sites.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no entry"):
        UrlBlocklist.read([tmp_path / "sites.txt"])
    with pytest.raises(InputError, match="could not be read"):
        UrlBlocklist.read([tmp_path / "absent.txt"])
    (tmp_path / "sites.txt.xz").write_bytes(lzma.compress(b"a.example\n" * 999)[:-20])
    with pytest.raises(InputError, match="could not be read"):
        UrlBlocklist.read([tmp_path / "sites.txt.xz"])
    (tmp_path / "words.txt").write_bytes(b"good\nb\xffd\n")
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        WordList.read({"": tmp_path / "words.txt"})


def test_a_large_list_takes_eight_bytes_an_entry(tmp_path: Path) -> None:
    (tmp_path / "sites.txt").write_text("".join(f"site{i}.example\n" for i in range(50_000)), encoding="utf-8")
    blocklist = UrlBlocklist.read([tmp_path / "sites.txt"])
    assert blocklist.hashes.nbytes == 8 * 50_000
    assert all(blocklist.match(f"https://www.site{i}.example/") for i in range(0, 50_000, 997))
    assert not any(blocklist.match(f"https://site{i}.example/") for i in range(50_000, 51_000))


WORDS = WordList.build(
    {"": ["spam"], "en": ["bad word", "bad", "très-laid"], "de": ["Übel", "bad"], "ja": ["悪い", "🖕"]}
)


def found(text: str, lang: str) -> list[str]:
    matches = WORDS.match(split_words(*pack([text])), [lang])
    assert matches.counts.tolist() == [len(matches.found_phrases)]
    return [WORDS.phrases[k] for k in matches.found_phrases]


def test_words_are_found_whole_in_their_language() -> None:
    assert found("SPAM, Bad\nword; badly, bad-word: bad!", "en") == ["spam", "bad word", "bad word", "bad"]
    assert found("das übel, ÜBEL, übelkeit bad word", "de") == ["Übel", "Übel", "bad"]
    assert found("bad übel spam", "fr") == ["spam"]
    assert found("とても悪いです🖕🖕", "ja") == ["悪い", "🖕", "🖕"]
    assert found("Tres laid, très laid", "en") == ["très-laid"]
    assert found("", "en") == []


def test_counts_and_shares_are_by_text() -> None:
    matches = WORDS.match(split_words(*pack(["bad bad good good", "", "good"])), ["en", "en", "en"])
    assert matches.counts.tolist() == [2, 0, 0]
    assert matches.shares().tolist() == [0.5, 0, 0]


def test_entries_that_would_match_other_words_are_left_out_and_named() -> None:
    assert WordList.build({"en": ["a$$", "x"]}).left_out == ("a$$",)
    with pytest.raises(InputError, match="no entry"):
        WordList.build({"en": ["", "!!"]})


@settings(deadline=None)
@given(st.lists(st.sampled_from(["spam", "bad", "word", "good", "a"]), max_size=12))
def test_matches_are_those_of_a_regular_expression(tokens: list[str]) -> None:
    text = " ".join(tokens)
    assert found(text, "en") == re.findall(r"\b(?:spam|bad word|bad)\b", text)


@pytest.mark.skipif(not LDNOOBW.exists(), reason="needs the shared data package")
def test_a_real_list_finds_each_of_its_entries() -> None:
    entries: dict[str, list[str]] = {}
    with lzma.open(LDNOOBW) as lines:
        for record in map(json.loads, lines):
            entries.setdefault(record["lang"], []).append(record["word"])
    words = WordList.build(entries)
    assert len(words.left_out) < 30
    for lang, texts in entries.items():
        kept = [text for text in texts if text.strip() not in words.left_out]
        counts = words.match(split_words(*pack(kept)), [lang] * len(kept)).counts
        assert (counts >= 1).all(), np.array(kept)[counts == 0]
