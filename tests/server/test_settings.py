"""What an operator may set is checked before anything starts."""

from pathlib import Path

import pytest

from bise.config import load_recipe
from bise.errors import InputError
from bise.server.settings import STANDARD, ServerSettings


def test_an_empty_file_is_the_standard(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("", encoding="utf-8")
    assert load_recipe(tmp_path / "s.toml", ServerSettings) == STANDARD


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("workers = 4", "one process owns the engine"),
        ("max_requests = 0", "at least 1"),
        ("drain_s = -1", "at least 0"),
        ("log_prompts = true", "needs log_requests"),
        ("worker = 1", "unknown key worker. Known keys here: .*max_requests"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "s.toml").write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_recipe(tmp_path / "s.toml", ServerSettings)
