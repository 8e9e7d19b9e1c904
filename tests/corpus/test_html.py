"""The main text of pages, decoded as they are written; pages that would take minutes are refused at once."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.html import MAX_PAGE_CHARACTERS, HtmlEngine, PageRefused, check_bounds, decode, extract

SENTENCE = "It is a sentence of the article, long enough to be one of its main ones. "
ENGINES: tuple[HtmlEngine, ...] = ("trafilatura", "resiliparse")


def page(body: str, head: str = "") -> str:
    return f"<html><head><title>Une belle journée</title>{head}</head><body>{body}</body></html>"


ARTICLE = page(
    f"<nav><a href='/a'>Home</a> <a href='/b'>Shop</a></nav><article><h1>Une belle journée</h1><p>{SENTENCE * 6}</p>"
    f"<p>{SENTENCE.replace('sentence', 'paragraph') * 6}</p></article><footer>Imprint and cookies</footer>",
    head='<meta property="article:published_time" content="2021-03-04T10:00:00Z">',
)
P = f"<p>{SENTENCE * 8}</p>"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_article_comes_out_without_what_surrounds_it(engine: HtmlEngine) -> None:
    found = extract(ARTICLE, engine)
    assert found is not None
    assert found.title == "Une belle journée"
    assert SENTENCE.strip() in found.text
    assert SENTENCE.replace("sentence", "paragraph").strip() in found.text
    assert "Imprint" not in found.text
    assert "Shop" not in found.text


def test_the_date_of_a_page_is_kept() -> None:
    found = extract(ARTICLE)
    assert found is not None
    assert found.date == "2021-03-04"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_without_text_has_none(engine: HtmlEngine) -> None:
    assert extract(page(""), engine) is None
    assert extract("", engine) is None


@pytest.mark.parametrize(
    "html",
    [
        page("<div>" * 30_000 + P + "</div>" * 30_000),
        page("<b>" * 50_000 + P),
        page("<table><tr><td>" * 30_000 + P),
        page("<p " + " ".join(f"a{i}='x'" for i in range(100_000)) + ">" + SENTENCE),
        page("<br>" * 300_000 + P),
        page(P * (MAX_PAGE_CHARACTERS // len(P) + 1)),
        "<" * 1_000_000,
    ],
    ids=["div", "b", "table", "attributes", "tags", "long", "angles"],
)
def test_pages_that_take_a_parser_minutes_are_refused_at_once(html: str) -> None:
    began = time.thread_time()
    for engine in ENGINES:
        with pytest.raises(PageRefused, match="more than"):
            extract(html, engine)
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("engine", ENGINES)
def test_half_a_character_is_refused(engine: HtmlEngine) -> None:
    with pytest.raises(PageRefused, match="surrogate"):
        extract(ARTICLE.replace("Home", "\ud800"), engine)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_pages_are_read_or_refused(data: st.DataObject) -> None:
    html = ARTICLE
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(html)))
        junk = data.draw(
            st.sampled_from(["<", "</", "\0", "<!--", "&#xD800;", "<table>", "<svg>", "<?xml", "<p ", "]]>", '"'])
        )
        html = html[:start] + junk + html[start + data.draw(st.integers(0, 40)) :]
    for engine in ENGINES:
        try:
            found = extract(html, engine)
        except PageRefused:
            continue
        assert found is None or found.text.strip()


def test_pages_at_the_edge_of_the_bounds_pass() -> None:
    check_bounds(page("<div>" * 900 + P + "</div>" * 900 + "<br>" * 5000))
    check_bounds(page(f"<img src='data:image/png;base64,{'A' * 500_000}'>{P}"))
    check_bounds(page("<p>word " * 20_000))


def test_a_page_that_takes_too_long_is_refused_and_the_next_is_not() -> None:
    with pytest.raises(PageRefused, match=r"took more than 0\.01 s"):
        extract(page(P * 400), limit_s=0.01)
    assert extract(ARTICLE) is not None


def test_pages_are_read_in_other_threads_too() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(extract(ARTICLE)))
    thread.start()
    thread.join()
    assert found == [extract(ARTICLE)]


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("é".encode(), "", "é"),
        ("é".encode(), "latin-1", "é"),
        ("é".encode("latin-1"), "", "é"),
        (b"\x80\x93", "iso-8859-1", "€“"),
        ("ж".encode("cp1251"), "windows-1251", "ж"),
        (b'<meta charset="koi8-r">' + "ж".encode("koi8-r"), "", '<meta charset="koi8-r">ж'),
        ("日本".encode("iso2022_jp"), "iso-2022-jp", "日本"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        ("\ufeffé".encode("utf-16-le"), "", "é"),
        ("\ufeffé".encode("utf-16-be"), "utf-8", "é"),
        ("\ufeffé".encode(), "latin-1", "é"),
        (b"ab\xe9", "no-such-charset", "abé"),
        (b"ab\xe9 \\n", "unicode_escape", "abé \\n"),
        (b"+AGE- \xe9", "utf-7", "+AGE- é"),
        (b"\xe9", "rot13", "é"),
        (b"\xe9", "zip", "é"),
        (b"\x81", "", "\ufffd"),
    ],
)
def test_bytes_are_decoded_as_browsers_do(data: bytes, charset: str, text: str) -> None:
    assert decode(data, charset) == text
