"""A recipe that cannot be meant is refused before any work, and the shipped recipes can be read."""

from pathlib import Path

import pytest

from bise.config import load_recipe
from bise.corpus.recipe import CurateRecipe, SourceFile
from bise.errors import InputError

RECIPES = Path(__file__).parents[2] / "recipes"
WHOLE = """
name = "a"
[rules]
min_words = 10
[[sources.list]]
name = "stories"
licence = "CC0 1.0"
files = [{ path = "stories.jsonl" }]
"""


def load(tmp_path: Path, text: str, *overrides: str) -> CurateRecipe:
    path = tmp_path / "curate.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, CurateRecipe, overrides)


def test_the_root_of_the_sources_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    recipe = load(tmp_path, WHOLE, "sources.root=/some/where", "root=elsewhere")
    assert recipe.sources.root == Path("/some/where")
    assert recipe.root == Path("elsewhere")
    assert recipe.sources.list[0].files == (SourceFile("stories.jsonl"),)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("min_words = 10", "min_word = 10", ["rules", "unknown key min_word", "min_words"]),
        ("min_words = 10", "min_words = 10\nmax_words = 5", ["min_words is 10", "max_words is 5"]),
        ("min_words = 10", "min_words = -1", ["min_words is -1"]),
        ("min_words = 10", "max_bullet_lines = 1.5", ["max_bullet_lines is 1.5", "between 0 and 1"]),
        ("min_words = 10", "max_hashes_per_word = -0.1", ["max_hashes_per_word is -0.1"]),
        ('name = "a"', 'name = "a b/c"', ["'a b/c'"]),
        ('licence = "CC0 1.0"', 'licence = " "', ["stories states no licence"]),
        ('licence = "CC0 1.0"\n', "", ["stories states no licence", "allow_unstated"]),
        ("[rules]", '[licences]\nallow = ["MIT*"]\n[rules]', ["stories", "'CC0 1.0'", "MIT*"]),
        ("[rules]", "[mix]\nmax_bytes = 1\nmax_tokens = 1\n[rules]", ["mix.max_bytes and mix.max_tokens"]),
        ("[rules]", "[mix]\nweights = { tales = 2.0 }\n[rules]", ["mix.weights names tales"]),
        ("[rules]", "[mix]\nlanguages = { en = -1.0 }\n[rules]", ["mix.languages of en is -1.0"]),
        ('files = [{ path = "stories.jsonl" }]', "files = []", ["stories has no files"]),
        ('path = "stories.jsonl"', 'path = "/stories.jsonl"', ["/stories.jsonl", "relative to sources.root"]),
        ('path = "stories.jsonl"', 'path = "stories.jsonl", sha256 = "12"', ["'12'", "64"]),
        ('path = "stories.jsonl"', f'path = "*.jsonl", sha256 = "{"0" * 64}"', ["a glob"]),
        ('licence = "CC0 1.0"', 'licence = "CC0 1.0"\nmax_bytes = 0', ["max_bytes of stories is 0"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in WHOLE
    with pytest.raises(InputError) as error:
        load(tmp_path, WHOLE.replace(old, new))
    for word in words:
        assert word in str(error.value)


def test_a_source_is_listed_once(tmp_path: Path) -> None:
    twice = WHOLE + WHOLE[WHOLE.index("[[sources.list]]") :]
    with pytest.raises(InputError, match="stories is listed more than once"):
        load(tmp_path, twice)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/curate.toml")), ids=lambda path: path.parent.name)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path, CurateRecipe).sources.list


@pytest.mark.parametrize(("page", "source"), [("curate.md", "fables"), ("corpus.md", "notes")])
def test_the_recipes_in_the_guide_are_valid(tmp_path: Path, page: str, source: str) -> None:
    guide = (RECIPES.parent / "docs" / page).read_text(encoding="utf-8")
    example = guide.split("```toml\n")[1].split("```")[0]
    assert load(tmp_path, example).sources.list[0].name == source


def test_the_shipped_corpus_can_be_traced_and_leaves_the_weights_free() -> None:
    recipe = load_recipe(RECIPES / "european" / "curate.toml", CurateRecipe)
    for source in recipe.sources.list:
        assert source.repository.startswith("https://")
        assert len(source.commit) == 40
        assert source.preparation
        assert all(file.sha256 for file in source.files)
        for closed in ("-SA", "NC", "Sharing", "MPL", "EUPL", "GPL", "ShareAlike", "NonCommercial"):
            assert closed not in source.licence
