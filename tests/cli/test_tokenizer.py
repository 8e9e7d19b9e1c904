"""`bise tokenizer` trains on a curated corpus, shows a vocabulary, and says in a sentence what is wrong."""

import json
from pathlib import Path

import pytest

from bise.cli.main import run
from tests.tokenizer.test_gguf import SENTENCEPIECE
from tests.tokenizer.test_hugging_face import make_directory

CURATE = """
name = "small"
root = "{tmp}"
[rules]
families = []
[sources]
root = "{tmp}"
[[sources.list]]
name = "small"
licence = "CC0 1.0"
files = [{{ path = "small.jsonl" }}]
"""
TRAIN = """
name = "small"
root = "{tmp}"
corpus = "{tmp}/curate/small"
vocab_size = 320
"""


def bise(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    seasons = ["spring", "summer", "autumn", "winter"]
    texts = [f"In {season} the wind comes from the {side}." for season in seasons for side in ("north", "south")]
    lines = [json.dumps({"text": text, "lang": "en"}) for text in texts]
    (tmp_path / "small.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, recipe in (("curate", CURATE), ("tokenizer", TRAIN)):
        (tmp_path / f"{name}.toml").write_text(recipe.format(tmp=tmp_path.as_posix()), encoding="utf-8")
    return str(tmp_path / "tokenizer.toml")


@pytest.fixture
def trained(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert bise("curate", str(tmp_path / "curate.toml")) == 0
    capsys.readouterr()
    assert bise("tokenizer", "train", recipe) == 0
    return tmp_path / "tokenizer" / "small"


def test_training_prints_rates_on_stdout_and_words_on_stderr(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = capsys.readouterr()
    assert out.startswith("320 tokens.")
    assert out.splitlines()[1].split()[0] == "en"
    assert str(trained) in err


def test_show_names_control_tokens_and_cuts_text(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert bise("tokenizer", "show", str(trained), "the [INST] wind", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["vocab_size"] == 320
    assert facts["control_tokens"][1:4] == ["<s>", "</s>", "[INST]"]
    assert "".join(token["text"] for token in facts["tokens"]) == "the [INST] wind"
    assert bise("tokenizer", "show", str(trained / "tekken.json")) == 0
    assert "320 tokens, of which 32 are control tokens" in capsys.readouterr().out


def test_training_twice_under_one_name_is_refused(
    trained: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("tokenizer", "train", recipe) == 2
    assert "already holds a finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "missing.toml"], "no recipe at"),
        (["train", "RECIPE"], "There is no run at"),
        (["train", "RECIPE", "--set", "vocab_size=12"], "must be at least 289"),
        (["train", "RECIPE", "--set", "vocabulary=12"], "unknown key vocabulary"),
        (["show", "missing"], "There is no tokenizer at"),
        (["show", "RECIPE"], "not a valid tekken file"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    recipe: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("tokenizer", *(recipe if argument == "RECIPE" else argument for argument in arguments)) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_show_reads_the_tokenizers_of_other_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = make_directory("chatml", tmp_path)
    assert bise("tokenizer", "show", str(directory), "wind <|im_end|>") == 0
    out = capsys.readouterr().out
    assert "3 are control tokens:\n  <|endoftext|> <|im_start|> <|im_end|>\n" in out
    assert "An answer ends with <|im_end|> or <|endoftext|>\ntokenizer.json, tokenizer_config.json, gen" in out
    assert "'|'" in out
    assert bise("tokenizer", "show", str(SENTENCEPIECE)) == 0
    assert "and 711 more\nAn answer ends with </s>\n" in capsys.readouterr().out
