"""European parity for people: lines for the terminal, and a section of the report with plots and a table."""

from collections.abc import Iterator, Sequence
from html import escape

from bise.evals.interval_plot import Row, interval_plot
from bise.evals.parity import REFERENCE, LanguageParity
from bise.evals.statistics import Estimate


def parity_lines(languages: Sequence[LanguageParity]) -> Iterator[str]:
    """A line for each language."""
    yield "The same sentences in each language; intervals are 95 %, over sentences, beside English."
    yield f"{'':6} {'n':>5} {'bits':>8} {'of English':>22} {'tokens/byte':>12} {'of English':>22} {'tokens of English':>18}"
    for each in languages:
        yield (
            f"{each.language:6} {each.num_sentences:>5,} {each.bits_per_sentence.value:>8.1f} {_spread(each.bits_ratio):>22} "
            f"{each.tokens_per_byte.value:>12.4f} {_spread(each.tokens_per_byte_ratio):>22} {each.tokens_ratio.value:>18.3f}"
        )


def parity_section(languages: Sequence[LanguageParity]) -> str:
    """Plots and a table as HTML; nothing without languages."""
    if not languages:
        return ""
    num = languages[0].num_sentences
    return (
        '<h2>Parity of languages</h2><p class="quiet">What the same sentences cost in each language, beside English '
        f"(1.0): {num:,} sentences each, with 95 % intervals over sentences. Bits are what the model does not foresee; tokens "
        "are what its vocabulary needs.</p>"
        f"{_plot('Bits per sentence, of English', [(each, each.bits_ratio) for each in languages])}"
        f"{_plot('Tokens per byte, of English', [(each, each.tokens_per_byte_ratio) for each in languages])}"
        f"{_table(languages)}"
    )


def _plot(title: str, shown: Sequence[tuple[LanguageParity, Estimate]]) -> str:
    rows = [
        Row(each.language, found.value, found.low, found.high, f"{found.value:.3f}", "duplicates")
        for each, found in shown
        if each.language != REFERENCE
    ]
    words = f"{title}: " + ", ".join(f"{row.name} {row.told}" for row in rows)
    return f'<div class="card"><h3>{title}</h3>{interval_plot(rows, 1.0, words)}</div>' if rows else ""


def _table(languages: Sequence[LanguageParity]) -> str:
    names = ("n", "bits per sentence", "of English", "tokens per byte", "of English", "tokens of English")
    head = "".join(f'<th class="number">{name}</th>' for name in names)
    body = "".join(f"<tr><td>{escape(each.language)}</td>{_cells(each)}</tr>" for each in languages)
    return (
        '<div class="frame" tabindex="0" role="region" aria-label="Parity"><table>'
        f"<thead><tr><th>language</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(each: LanguageParity) -> str:
    shown = (
        f"{each.num_sentences:,}",
        f"{each.bits_per_sentence.value:.1f} ({each.bits_per_sentence.low:.1f} to {each.bits_per_sentence.high:.1f})",
        _spread(each.bits_ratio),
        f"{each.tokens_per_byte.value:.4f}",
        _spread(each.tokens_per_byte_ratio),
        _spread(each.tokens_ratio),
    )
    return "".join(f'<td class="number">{text}</td>' for text in shown)


def _spread(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
