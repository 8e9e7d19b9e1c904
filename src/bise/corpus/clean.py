"""Take the marks of a web page out of a text and leave its prose: named steps that a source's recipe puts in order.

They are for sources known to be Markdown or hard-wrapped; a source that asks for none passes through unchanged. Before
an expression runs, a search for its first characters, many times as fast, tells whether it can match at all.
"""

import html
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal

import numpy as np

Step = Literal["front_matter", "templates", "html", "links", "wrapping", "spacing"]

_FRONT_MATTER = re.compile(r"\A(?:---[ \t]*\n.*?\n---|\{[ \t]*\n.*?\n\})[ \t]*(?:\n|\Z)", re.DOTALL)
# Spans are bounded, so that opening marks that are never closed cost time in proportion to the text.
_TEMPLATES = re.compile(r"\{\{.{0,300}?\}\}|\{%.{0,300}?%\}|\{:.{0,300}?\}", re.DOTALL)
_COMMENTS = re.compile(r"<!--.{0,1000}?-->|<(script|style)\b.{0,1000}?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAGS = re.compile(r"</?[A-Za-z][^<>]*>")
_IMAGES = re.compile(r"!\[[^\[\]]*\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])")
_LINKS = re.compile(r"\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])")
_LINK_TARGETS = re.compile(r"^ {0,3}\[[^\[\]]+\]:[ \t]*\S.*\n?", re.MULTILINE)
# Controls, soft hyphens and byte order marks are cut; C1 controls are Windows-1252 quotes and dashes misread as Latin-1.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\ufeff]")
_MISREAD = {chr(code): bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}
_NUMBERED = re.compile(r"\d+[.)] ")
_WRAPPED_CHARACTERS = 50  # a line at least this long, with text straight below it, was broken to fit a column


def clean(text: str, steps: Iterable[Step]) -> str:
    """Apply the steps in the order given."""
    for step in steps:
        text = _STEPS[step](text)
    return text


def cut_front_matter(text: str) -> str:
    """Cut a leading block of settings: YAML between lines of "---", or a JSON object."""
    found = _FRONT_MATTER.match(text)  # a search would try every character for the beginning of the text
    return text[found.end() :] if found else text


def cut_templates(text: str) -> str:
    """Cut the commands of site generators: {{ }}, {% %} and {: }."""
    if "{" in text and ("{{" in text or "{%" in text or "{:" in text):
        return _TEMPLATES.sub("", text)
    return text


def cut_html(text: str) -> str:
    """Cut HTML tags and comments, keep what stands between them, and spell out entities."""
    if "<" in text:
        text = _TAGS.sub("", _COMMENTS.sub("", text))
    return html.unescape(text) if "&" in text else text


def cut_links(text: str) -> str:
    """Keep the words of Markdown links; cut their targets, and images."""
    if "]" not in text:
        return text
    if "](" in text or "][" in text:
        text = _LINKS.sub(r"\1", _IMAGES.sub("", text) if "![" in text else text)
    return _LINK_TARGETS.sub("", text) if "]:" in text else text


def join_wrapped_lines(text: str) -> str:
    """Make one line of a paragraph that was broken to fit a column.

    A line joins the one above when that one is long and this one begins with a letter, digit, quote or parenthesis, so
    that lists, headings, tables and verse stay as they are.
    """
    lines = text.split("\n")
    joined = lines[:1]
    for above, line in pairwise(lines):
        if len(above) >= _WRAPPED_CHARACTERS and line and _begins_as_prose(line):
            joined[-1] = f"{joined[-1].rstrip()} {line}"
        else:
            joined.append(line)
    return "\n".join(joined)


def _begins_as_prose(line: str) -> bool:
    return (line[0].isalnum() or line[0] in "\"'“‘«([") and not _NUMBERED.match(line)


def even_spacing(text: str) -> str:
    """Cut control characters, indents outside lists, spaces at line ends and more than one blank line in a row."""
    from bise.corpus.kernels.spacing import even_lines
    from bise.corpus.texts import read_only

    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    evened = np.empty_like(data)
    if (size := even_lines(read_only(data), evened)) == len(data):  # nothing but cuts are made
        return text
    if size < 0:
        return even_spacing(_CONTROLS.sub(lambda match: _MISREAD.get(match[0], ""), text.replace("\r\n", "\n")))
    return evened[:size].tobytes().decode("utf-8", "surrogatepass")


_STEPS: dict[Step, Callable[[str], str]] = {
    "front_matter": cut_front_matter,
    "templates": cut_templates,
    "html": cut_html,
    "links": cut_links,
    "wrapping": join_wrapped_lines,
    "spacing": even_spacing,
}
