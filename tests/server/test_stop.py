"""Stop strings: however the text is cut into pieces, what comes out is the same and holds no part of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bise.server.stop import StopStrings

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
