"""Reports as one HTML page that loads nothing: what runs of curation, training and tuning leave for people to read.

The page forbids itself every script and every request, since much of what it shows was written by strangers.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, sections: Iterable[str], style: str = "") -> str:
    """A whole page around sections of HTML; `style` is added to the style that all reports share."""
    shared = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{shared}{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def tiles(shown: Iterable[tuple[str, str]]) -> str:
    """Figures, each over the words that say what it is."""
    drawn = (
        f'<div class="tile"><b>{escape(value)}</b><span class="quiet">{escape(words)}</span></div>'
        for value, words in shown
    )
    return f'<div class="tiles">{"".join(drawn)}</div>'


def legend(colours: Iterable[tuple[str, str]]) -> str:
    """Names, each beside its colour: the name of a CSS variable without its dashes."""
    drawn = (f'<span><i style="background:var(--{colour})"></i>{escape(words)}</span>' for colour, words in colours)
    return f'<div class="legend">{"".join(drawn)}</div>'
