"""What the page says of refusals in other languages is about refusals that exist, with values that they have."""

import ast
import json
import pickle
import re
from collections import defaultdict
from pathlib import Path

import pytest

from bise.errors import InputError
from bise.server.errors import as_api_error
from bise.store.accounts import create_user
from bise.store.database import Database
from bise.store.passwords import check_password
from tests.app.test_archive import bring

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "web/src/i18n/refusals"
LANGUAGES = {"de", "es", "fr", "it"}


def raised() -> dict[str, set[str]]:
    """The codes that the package's errors have, and the names of their values."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "src/bise").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
                continue
            literals = (
                set()
                if isinstance(function, ast.Module)
                else {
                    key.value
                    for node in ast.walk(function)
                    if isinstance(node, ast.Dict)
                    for key in node.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
            )
            for call in ast.walk(function):
                if not isinstance(call, ast.Call):
                    continue
                named = {each.arg: each.value for each in call.keywords if each.arg}
                code = named.get("code")
                texts = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)] if code else []
                for text in texts:
                    if isinstance(text, str):
                        found[text] |= named.keys() - {"code", "values"} | (literals if "values" in named else set())
    return found


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_each_sentence_is_about_a_refusal_that_exists_and_has_its_values(language: str) -> None:
    assert {path.stem for path in WORDS.glob("*.json")} == LANGUAGES
    codes = raised()
    for key, sentence in json.loads((WORDS / f"{language}.json").read_text(encoding="utf-8")).items():
        code, _, kind = key.partition(".")
        assert code in codes, f"nothing is refused as {code!r}"
        assert not kind or "kind" in codes[code]
        assert set(re.findall(r"\{(\w+)\}", sentence)) <= codes[code], key


def test_the_values_go_over_the_wire_beside_the_sentence() -> None:
    with pytest.raises(InputError) as refused:
        check_password("Ada", "short")
    body = as_api_error(refused.value).body()
    told = {"code": "password_length", "values": {"chars": 5, "min": 12, "max": 1000}}
    assert refused.value.facts == told
    assert body["error"] == body["error"] | told | {"message": str(refused.value)}
    plain = as_api_error(InputError("Something is wrong."))
    assert plain.code == "invalid_request"
    assert "values" not in plain.body()


def test_an_error_keeps_its_facts_on_its_way_between_processes() -> None:
    error = InputError("There is a user Ada already.", code="name_taken", name="Ada")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.facts) == (str(error), error.facts)


async def test_a_mistake_of_our_own_ends_an_import(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bise.app.importing.read_file", lambda _file: iter([0]))  # no conversation, and no refusal
    state = await bring(database, (await create_user(database, "other")).id, b"[]")
    assert (state.status, state.error_facts) == ("failed", {"code": "internal", "values": {}})
