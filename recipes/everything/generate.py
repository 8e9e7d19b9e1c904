"""Write curate.toml beside this file from the manifest of a data package: every source with its licence and hashes.

    python recipes/everything/generate.py DIRECTORY

DIRECTORY holds manifest.jsonl, one line a source, and the files in pretrain/<source>/.
"""

import json
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """\
# Everything that was gathered for Bise, in nine languages: 585 MB of raw text from 66 sources. Share-alike sources are
# among them, so a model trained on the result must be shared alike. Run it with
#   bise curate recipes/everything/curate.toml --set sources.root=DIR
# Written by generate.py.

name = "everything"
root = "runs"
seed = 1

[rules]
min_words = 30               # below Gopher's 50: a picture book's story is short
min_alpha_words = 0.6        # below Gopher's 0.8: a cooking recipe counts cups, and dialogue has many marks
max_repeated_line_characters = 0.1   # FineWeb's text says so, its code 0.01, which drops debates and manuals
max_ellipsis_lines = 1.0     # Gopher's 0.3 drops novels and news stored as one line that ends in "..."

[rules.per_language.pt]
min_punctuated_lines = 0.0   # a third of the Portuguese is news, each text one line that may end in a name

[rules.per_language.fi]      # long words, and so fewer of them: FineWeb-2 says 14 characters, too
max_mean_word_length = 14.0
min_alpha_words = 0.5
min_stop_words = 1           # few words stand alone that other languages would use: case endings say the same

[rules.per_language.nl]      # nearly all of it are manuals, whose steps repeat each other's words
max_duplicate_5_grams = 0.25
max_duplicate_6_grams = 0.24
max_duplicate_7_grams = 0.23
max_duplicate_8_grams = 0.22
max_duplicate_9_grams = 0.21
max_duplicate_10_grams = 0.20

[language]
identify = "check"           # drop where the record and the model differ

[contamination]
files = ["eval/*/*.jsonl.xz"]

[personal]
mask = ["email", "ip", "phone", "iban", "card"]

[duplicates]
paragraphs = true
windows = true

[sources]
max_bad_lines = 0.0
"""
PROSE = ("spacing",)  # novels, speeches and laws: no marks of a page
PAGE = ("front_matter", "templates", "html", "links", "spacing")
PLAIN_SOURCES = (
    *("common-corpus-pd", "conha19", "factbook", "klexikon", "parlamint-es", "roman18", "storybooks", "us-speeches"),
    *("ud-bosque", "ud-ewt", "gesetze"),
)


def clean_steps(name: str) -> tuple[str, ...]:
    """What to take out of the texts of a source."""
    if name == "common-corpus-pd":  # books broken to fit a column
        return ("wrapping", "spacing")
    return PROSE if name in PLAIN_SOURCES or name.startswith("eltec") else PAGE


def source_table(entry: dict) -> str:
    """One source in TOML."""
    name = entry["source"]
    lines = [
        "",
        "[[sources.list]]",
        f"name = {json.dumps(name)}",
        f"licence = {json.dumps(entry['licence'], ensure_ascii=False)}",
        f"repository = {json.dumps('https://github.com/' + entry['repo'])}",
        f"commit = {json.dumps(entry['commit'])}",
        f"clean = {json.dumps(clean_steps(name))}",
        "files = [",
        *(
            f'    {{ path = "pretrain/{name}/{file["name"]}", sha256 = "{file["sha256"]}" }},'
            for file in entry["files"]
        ),
        "]",
    ]
    return "\n".join(lines) + "\n"


def main(directory: Path) -> None:
    """Write the recipe, and check that it is TOML."""
    with (directory / "manifest.jsonl").open(encoding="utf-8") as lines:
        entries = [entry for entry in map(json.loads, lines) if entry["kind"] == "pretrain"]
    text = HEAD + "".join(map(source_table, entries))
    tomllib.loads(text)
    (HERE / "curate.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
