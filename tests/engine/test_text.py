"""Streamed text is the whole text, in pieces that are never half a character."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bise.engine.text import TextStream


class Bytes:
    """A tokenizer whose token i is the i-th of some pieces."""

    def __init__(self, pieces: list[bytes], drops_first_space: bool = False) -> None:
        self.pieces = pieces
        self.drops_first_space = drops_first_space

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


@given(st.text(), st.lists(st.integers(0, 1000)))
def test_any_division_of_a_text_streams_that_text(text: str, cuts: list[int]) -> None:
    pieces = split(text.encode(), cuts)
    stream = TextStream(Bytes(pieces))
    streamed = [stream.feed([i]) for i in range(len(pieces))]
    assert "".join(streamed) == text  # so no piece held a replacement for half a character
    assert stream.finish() == ""


@given(st.binary(), st.lists(st.integers(0, 1000)))
def test_bytes_that_are_no_text_are_replaced_as_if_read_at_once(data: bytes, cuts: list[int]) -> None:
    pieces = split(data, cuts)
    stream = TextStream(Bytes(pieces))
    streamed = "".join(stream.feed([i]) for i in range(len(pieces))) + stream.finish()
    assert streamed == data.decode("utf-8", errors="replace")


def test_half_a_character_waits_and_is_replaced_only_at_the_end() -> None:
    stream = TextStream(Bytes([b"na\xc3", b"\xafve \xe2\x82"]))
    assert stream.feed([0]) == "na"
    assert stream.feed([1]) == "ïve "
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"


def test_the_space_of_the_first_word_may_be_the_vocabularys() -> None:
    stream = TextStream(Bytes([b"", b" a", b" b"], drops_first_space=True))
    assert [stream.feed([0]), stream.feed([1]), stream.feed([2])] == ["", "a", " b"]
