"""The main text of a web page, with its title and date, through trafilatura (the better) or resiliparse (the faster).

Pages come from strangers: size, nesting, attributes and time are bounded before and while a page is read. Pages that
make either parser take minutes have less than a megabyte, so a bound on size alone would not do.
"""

import codecs
import logging
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from bise.errors import UnavailableError

HtmlEngine = Literal["trafilatura", "resiliparse"]

MAX_PAGE_CHARACTERS = 4 << 20
MAX_TAGS = 100_000
MAX_DEPTH = 1_000
MAX_ATTRIBUTES = 1_000  # of one tag: looking for repeated names takes time in proportion to the square
_TAGS_WORTH_MEASURING = 3_000  # with fewer no page nests deep enough to take a second
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_LONG_TAG = re.compile(r"<[a-zA-Z][^<>]{4000,}")  # shorter ones do not hold MAX_ATTRIBUTES
_UNNESTED = frozenset(  # void elements, and those that close themselves when another of their kind begins
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "option",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "path",
        "use",
        "html",
        "body",
        "head",
    ]
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NO_CHARSETS = frozenset(["utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"])
_LATIN = frozenset(["iso8859-1", "ascii"])  # as pages are labelled; browsers read both as Windows-1252
# What the parsers have raised, or could, on pages that are damaged.
_PARSER_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Page:
    """What a web page says."""

    text: str
    title: str = ""
    date: str = ""  # ISO 8601 day on which it was published, as the page itself states or implies it


class PageRefused(ValueError):
    """A page that is too large, nests too deep or takes too long; the message says which bound it broke."""


class _TimeUpError(BaseException):
    """The page took too long; no Exception, because parsers catch those and go on."""


def extract(
    page: bytes | str, engine: HtmlEngine = "trafilatura", *, charset: str = "", limit_s: float = 10.0
) -> Page | None:
    """The main text of a page, or None when it has none.

    Args:
        page: HTML; bytes are decoded as the page or `charset` says.
        engine: which package draws the text.
        charset: what the HTTP header said, if anything.
        limit_s: seconds a page may take; kept in a process's main thread only, because a signal keeps it.

    Raises:
        PageRefused: the page breaks a bound.
        UnavailableError: the engine is not installed.
    """
    html = decode(page, charset) if isinstance(page, bytes) else page
    check_bounds(html)
    if not html.isascii() and _SURROGATE.search(html):
        raise PageRefused("half of a surrogate pair, which is no character")
    draw = _trafilatura if engine == "trafilatura" else _resiliparse
    try:
        with _time_limit(limit_s):
            return draw(html)
    except _TimeUpError:
        raise PageRefused(f"the page took more than {limit_s:g} s") from None
    except _PARSER_FAULTS as error:
        raise PageRefused(f"{engine} failed on the page: {error or type(error).__name__}"[:200]) from None
    except ImportError as error:
        raise UnavailableError(
            f'Reading web pages needs packages that are not here ({error}). Type: pip install "bise[corpus]"'
        ) from None


def check_bounds(html: str) -> None:
    """Refuse pages that would take a parser minutes; the same page is refused on every machine.

    Raises:
        PageRefused: a bound is broken.
    """
    if len(html) > MAX_PAGE_CHARACTERS:
        raise PageRefused(f"the page has {len(html):,} characters, more than {MAX_PAGE_CHARACTERS:,}")
    num_tags = html.count("<")
    if num_tags > MAX_TAGS:
        raise PageRefused(f"the page has about {num_tags:,} tags, more than {MAX_TAGS:,}")
    if num_tags > _TAGS_WORTH_MEASURING and (depth := _depth(html)) > MAX_DEPTH:
        raise PageRefused(f"the page nests at least {depth:,} deep, more than {MAX_DEPTH:,}")
    for tag in _LONG_TAG.finditer(html):
        if (num_attributes := len(tag[0].split())) > MAX_ATTRIBUTES and tag[0].count("=") + 1 > MAX_ATTRIBUTES // 10:
            raise PageRefused(f"a tag has about {num_attributes:,} attributes, more than {MAX_ATTRIBUTES:,}")


def _depth(html: str) -> int:
    depth = deepest = 0
    for closing, name in _TAG.findall(html):
        if name.lower() in _UNNESTED:
            continue
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return deepest


@contextmanager
def _time_limit(limit_s: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise _TimeUpError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _trafilatura(html: str) -> Page | None:
    import trafilatura

    for name in ("trafilatura", "htmldate", "courlan"):  # what they would warn of is said by the result
        logging.getLogger(name).setLevel(logging.CRITICAL)
    document = trafilatura.bare_extraction(html, with_metadata=True, include_comments=False)
    if document is None or isinstance(document, dict) or not document.text or not document.text.strip():
        return None
    return Page(document.text, document.title or "", document.date or "")


def _resiliparse(html: str) -> Page | None:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, main_content=True, alt_texts=False, preserve_formatting=True).strip()
    return Page(text, (tree.title or "").strip()) if text else None


def decode(page: bytes, charset: str = "") -> str:
    """The characters of a page: by byte order mark, as UTF-8 if it is, as labelled, else as Windows-1252."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if page.startswith(mark):
            return page[len(mark) :].decode(encoding, errors="replace")
    declared = _META_CHARSET.search(page[:2048])
    labelled = _codec(charset) or _codec(declared[1].decode("ascii", "replace") if declared else "")
    try:
        # What decodes as UTF-8 is UTF-8, whatever the label says, but for encodings that keep to seven bits.
        return page.decode("iso2022_jp" if labelled.startswith("iso2022") else "utf-8")
    except UnicodeDecodeError:
        return page.decode(labelled or "cp1252", errors="replace")


def _codec(label: str) -> str:
    """Python's name of a character encoding, or "" when the label names none."""
    try:
        codec = codecs.lookup(label.strip())
        "".encode(codec.name)  # raises LookupError for codecs that do not make text
    except (LookupError, ValueError):
        return ""
    if codec.name.replace("_", "-") in _NO_CHARSETS:
        return ""
    return "cp1252" if codec.name in _LATIN else codec.name
