"""`bise admin` as an operator meets it, on a database of its own."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from bise.cli.database import with_database
from bise.cli.main import main
from bise.errors import BiseError
from bise.store.accounts import find_user
from bise.store.database import Database
from bise.store.usage import Counts, UsageKey, add_usage


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))


def admin(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command in this process, which saves its start; its stdout."""
    capsys.readouterr()
    main.main(args=["admin", *arguments], standalone_mode=False)
    return capsys.readouterr().out


def test_an_operator_s_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert admin(capsys, "users") == ""
    assert admin(capsys, "users", "add", "ada") == "Added ada (user).\n"
    assert json.loads(admin(capsys, "users", "add", "root", "--role", "admin", "--json"))["role"] == "admin"
    link = admin(capsys, "users", "link", "ada", "--url", "https://chat.example/")
    assert link.startswith("https://chat.example/enter?token=")
    invitation = admin(capsys, "users", "invite", "--uses", "3", "--url", "https://chat.example/")
    assert invitation.startswith("https://chat.example/#join=")
    admin(capsys, "projects", "add", "search")
    assert admin(capsys, "projects", "join", "search", "ada") == "ada is in search.\n"
    made = json.loads(
        admin(capsys, "keys", "--name", "k", "--user", "ada", "--project", "search", "--scope", "embeddings",
              "--model", "small", "--days", "3", "--json")
    )  # fmt: skip
    assert (made["user"], made["project"], made["scopes"], made["models"]) == (
        "ada",
        "search",
        ["embeddings"],
        ["small"],
    )
    assert made["expires_at"] > made["created_at"]
    assert "ada/search" in admin(capsys, "keys", "list")
    assert made["key"] not in admin(capsys, "keys", "list", "--json")
    admin(capsys, "limits", "set", "user:ada", "--parallel", "2", "--requests-per-s", "0.5")
    admin(capsys, "limits", "set", f"key:{made['prefix']}", "--tokens-per-month", "1000000")
    assert "1,000,000 tokens_per_month" in admin(capsys, "limits")
    assert "no limits" in admin(capsys, "limits", "clear", "user:ada")
    assert [each["kind"] for each in json.loads(admin(capsys, "limits", "--json"))] == ["key"]
    admin(capsys, "keys", "revoke", made["prefix"])
    admin(capsys, "projects", "archive", "search")
    assert "archived" in admin(capsys, "projects")
    admin(capsys, "users", "disable", "ada")
    assert json.loads(admin(capsys, "users", "--json"))[0]["disabled_at"]
    admin(capsys, "users", "enable", "ada")
    admin(capsys, "users", "remove", "ada", "--yes")
    actions = [entry["action"] for entry in json.loads(admin(capsys, "audit", "--json"))]
    assert actions == [
        *("user.add", "user.add", "user.link", "invitation.add", "project.add", "project.join", "key.add"),
        *("limits.set", "limits.set"),
        *("limits.set", "key.revoke", "project.archive", "user.disable", "user.enable", "user.remove"),
    ]
    assert "user.remove  user ada" in admin(capsys, "audit", "--last", "1")


def test_usage_is_told_as_table_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    admin(capsys, "users", "add", "=ada")

    async def use(database: Database) -> None:
        ada = (await find_user(database, "=ada")).id
        for day in (date(2026, 10, 31), date(2026, 11, 1)):
            await add_usage(database, [(UsageKey(day, ada, "", "", "m, x"), Counts(1, 20, 3))])

    with_database(use)
    (row,) = csv.DictReader(io.StringIO(admin(capsys, "usage", "--by", "user,model", "--csv")))
    assert row == {
        "user": "'=ada", "model": "m, x", "num_requests": "2", "num_prompt_tokens": "40", "num_completion_tokens": "6"
    }  # fmt: skip
    told = json.loads(admin(capsys, "usage", "--by", "day", "--since", "2026-11-01", "--json"))
    assert [each["day"] for each in told] == ["2026-11-01"]
    assert admin(capsys, "usage", "--until", "2026-10-31").split() == [
        *("month", "user", "model", "requests", "prompt_tokens", "completion_tokens"),
        *("2026-10", "=ada", "m,", "x", "1", "20", "3"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["users", "link", "eve"], "There is no user 'eve'"),
        (["users", "remove", "eve", "--yes"], "There is no user 'eve'"),
        (["users", "add", " "], "is no name"),
        (["projects", "join", "none", "eve"], "There is no project 'none'"),
        (["keys", "--user", "eve"], "There is no user 'eve'"),
        (["keys", "--scope", "all"], "all is no scope"),
        (["limits", "set", "everybody"], "No limit was named"),
        (["limits", "set", "everybody", "--parallel", "0"], "above 0"),
        (["limits", "set", "everyone", "--parallel", "1"], "is nobody"),
        (["usage", "--by", "hour"], "must be some of day, month"),
    ],
)
def test_mistakes_are_sentences(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(BiseError, match=words):
        admin(capsys, *arguments)


def test_a_password_is_asked_for_and_never_shown() -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["admin", "users", "add", "zoe"]).exit_code == 0
    typed = "four words of mine\n"
    done = runner.invoke(main, ["admin", "users", "password", "zoe"], input=typed * 2)
    assert (done.exit_code, done.stdout) == (0, "zoe has a new password.\n")
    assert typed.strip() not in done.output
    for again, why in (("short\n" * 2, "must have 12"), (typed + "other\n" + typed, "do not match")):
        done = runner.invoke(main, ["admin", "users", "password", "zoe"], input=again)
        assert done.exit_code != 0
        assert why in done.output + str(done.exception)
