"""Stop strings: however the text is cut into pieces, what comes out is the same and holds no part of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bise.server.stop import AnswerText, StopStrings
from tests.engine.test_text import Bytes, split

TEXT = st.text("ab\n", max_size=40)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=3)


def reference(text: str, stops: list[str]) -> str:
    """The text before the stop string that is complete first, the longest of those complete together."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - len(max(found, key=len))]
    return text


def pass_through(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    stream = StopStrings(stops)
    out = "".join(stream.feed(piece) for piece in pieces)
    return out + stream.flush(), stream.found


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT, max_size=6), STOPS)
def test_any_pieces_give_the_text_before_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    out, found = pass_through(pieces, stops)
    assert out == reference(text, stops)
    assert found == any(stop in text for stop in stops)


def test_text_is_passed_on_as_soon_as_it_cannot_be_a_stop_string() -> None:
    stream = StopStrings(["END"])
    assert [stream.feed(piece) for piece in ("a", "E", "N", "X", "EN", "D", "b")] == ["a", "", "", "ENX", "", "", ""]


@given(st.text("aé\n🪿", max_size=30), st.lists(st.text("aé\n🪿", min_size=1, max_size=3), max_size=3), st.data())
def test_tokens_that_cut_characters_and_stop_strings_anywhere_leak_nothing(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    tokens = split(text.encode(), data.draw(st.lists(st.integers(0, 1000))))
    answer, shown, expected = AnswerText(Bytes(tokens), stops), "", reference(text, stops)
    for index in range(len(tokens)):
        is_last = index == len(tokens) - 1
        shown += answer.feed([index], is_last=is_last)
        assert expected.startswith(shown)  # so no part of a stop string was shown that came to be complete
        if answer.stopped:
            break
        if not is_last:  # what is held back could still become a character or a stop string
            held = b"".join(tokens[: index + 1])[len(shown.encode()) :].decode(errors="ignore")
            assert held == "" or any(stop.startswith(held) and held != stop for stop in stops)
    assert shown == expected
    assert answer.stopped == any(stop in text for stop in stops)


@given(st.binary(max_size=20), st.data())
def test_bytes_that_are_no_text_are_stopped_as_their_replacements_are(data: bytes, draw: st.DataObject) -> None:
    stops = ["\N{REPLACEMENT CHARACTER}a", "ab"]
    tokens = split(data, draw.draw(st.lists(st.integers(0, 1000))))
    answer = AnswerText(Bytes(tokens), stops)
    shown = "".join(answer.feed([index], is_last=index == len(tokens) - 1) for index in range(len(tokens)))
    assert shown == reference(data.decode(errors="replace"), stops)
