"""Tables of Markdown, and the mark for what a person must fill in."""

from collections.abc import Iterable, Sequence


class ByHand(str):
    """What a person must fill in, marked so that it cannot be overlooked."""

    def __new__(cls, what: str) -> "ByHand":
        """Mark a field by the words that say what is wanted."""
        return super().__new__(cls, f"**[to be filled in by a person: {what}]**")


def known(value: str, what: str) -> str:
    """A value, or the mark for one that nobody has given."""
    return value or ByHand(what)


def rows(heading: Sequence[str], entries: Iterable[Sequence[str]]) -> str:
    """A table; nothing when it has no rows."""
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in entry] for entry in entries]
    if not lines:
        return ""
    return "\n".join("| " + " | ".join(line) + " |" for line in (list(heading), ["---"] * len(heading), *lines))


def form(title: str, sections: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    """A form: sections of fields, each with its value below its name."""
    parts = [f"# {title}\n"]
    for heading, fields in sections:
        parts.append(f"## {heading}\n")
        parts += [f"**{name}**\n\n{value}\n" for name, value in fields]
    return "\n".join(parts)
