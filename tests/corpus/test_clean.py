"""Each step takes out its own marks and leaves prose alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.corpus.clean import Step, clean

CUTS: tuple[Step, ...] = ("front_matter", "templates", "html", "links")
PROSE = (
    "It cost 3 < 4 pounds, (as [he] said) -- and more!\n\n"
    "- a list\n- of two\n\n1. first comes this, which is longer than fifty characters are\n2. second"
)


@pytest.mark.parametrize(
    ("step", "text", "left"),
    [
        ("front_matter", "---\ntitle: a\n---\nBody.\n---\nMore.\n---\n", "Body.\n---\nMore.\n---\n"),
        ("front_matter", '{\n  "title": "a"\n}\nBody {x}.', "Body {x}."),
        ("front_matter", "Body.\n---\nno: settings\n---\n", "Body.\n---\nno: settings\n---\n"),
        ("templates", 'See {{< link slug="/a" text="b" >}}now{% if x %}.{: .big}', "See now."),
        ("html", '<p class="x">One&nbsp;&amp; <!-- not\nthis -->two</p><br/><style>p {}</style>', "One\xa0& two"),
        ("html", "see <https://example.org/a> &lt;b&gt;", "see  <b>"),
        ("links", "A [word](https://a.org/b_(c)) and [more][ref], ![pic](a.png).\n[ref]: https://a.org\nEnd", "A word and more, .\nEnd"),
        ("links", "[![badge](a.svg)](https://a.org)text", "text"),
        ("wrapping", f"{'word ' * 12}\nthat goes on.\n\nNext.", f"{'word ' * 12}that goes on.\n\nNext."),
        ("wrapping", f"# {'Heading ' * 8}\n- item", f"# {'Heading ' * 8}\n- item"),
        ("spacing", "\n\ufeffOne \r\n\r\n \n\n    two\x92\u00ad\n  - three\n\n", "One\n\ntwo’\n  - three"),
        ("wrapping", "Short verse\nstays verse.", "Short verse\nstays verse."),
    ],
)  # fmt: skip
def test_each_step_takes_out_its_marks(step: Step, text: str, left: str) -> None:
    assert clean(text, [step]) == left


def test_prose_stays_as_it_is() -> None:
    assert clean(PROSE, [*CUTS, "wrapping", "spacing"]) == PROSE


@given(st.text(alphabet="ab \n-{}[]()<>!&;:#%", max_size=80))
def test_cutting_never_adds(text: str) -> None:
    for step in CUTS:
        assert len(clean(text, [step])) <= len(text)


@pytest.mark.timeout(20)  # unbounded spans took minutes
@pytest.mark.parametrize(
    "mark", ["[", "![", "[a](", "[a](b", "[a](b(c)", "{{", "{%", "<!--", "<a ", "<style>", "---\n", " ", "\n"]
)
def test_marks_that_are_never_closed_cost_time_in_proportion(mark: str) -> None:
    text = mark * (200_000 // len(mark))
    clean(text, [*CUTS, "wrapping", "spacing"])
