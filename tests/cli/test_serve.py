"""`bise serve`, `bise ask` and `bise admin keys` as a person meets them, with a real engine."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest

from tests.command import bise, client_key, free_port, serve, succeed
from tests.postgres import Postgres
from tests.speaking_model import write_speaking_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaking_model(tmp_path_factory.mktemp("models") / "tiny")


def test_from_the_printed_address_to_an_answer_kept(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serve("--model", model, log=log) as running, httpx.Client(base_url=running.url, timeout=60) as browser:
        assert browser.get(running.entrance).status_code == 303
        conversation = browser.post("/api/conversations", json={}).json()["id"]
        body = {"content": "Hello", "client_id": "1"}
        assert browser.post(f"/api/conversations/{conversation}/messages", json=body).status_code == 202
        with browser.stream("GET", f"/api/conversations/{conversation}/events") as events:
            assert any(line == "event: done" for line in events.iter_lines())
        message = browser.get(f"/api/conversations/{conversation}").json()["messages"][1]
        assert (message["status"], message["model"]) == ("complete", "tiny")
        key = client_key()
        client = openai.OpenAI(base_url=running.url + "/v1", api_key=key)
        reply = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=5)
        assert reply.usage.completion_tokens <= 5
        taken = bise("serve", "--model", model, "--port", running.url.rpartition(":")[2])
        assert (taken.returncode, taken.stdout) == (2, "")
        assert "is taken by another program" in taken.stderr
    words = log.read_text(encoding="utf-8")
    assert "tiny is ready" in words
    assert "Traceback" not in words
    assert key not in words
    assert words.count("token=") == 1  # where it was printed for its owner, and nowhere else


def test_ctrl_c_ends_the_server_in_peace_even_while_somebody_watches(model: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bise", "serve", "--model", str(model), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        entrance = process.stdout.readline().split()[-1]
        with httpx.Client(timeout=60, follow_redirects=False) as browser:
            browser.get(entrance)
            root = f"http://127.0.0.1:{port}/api/conversations"
            conversation = browser.post(root, json={}).json()["id"]
            with browser.stream("GET", f"{root}/{conversation}/events") as stream:
                assert stream.status_code == 200
                process.send_signal(signal.SIGINT)
                assert stream.read() == b""
        _, words = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in words


def test_a_model_that_cannot_be_loaded_ends_the_server_with_a_sentence(model: Path, tmp_path: Path) -> None:
    damaged = write_speaking_model(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    done = bise("serve", "--model", damaged, "--port", free_port())
    assert done.returncode == 2
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--model", "none-such"], "There is no model named none-such"),
        (["serve", "--model", "{model}", "--url", "chat.example"], "https://chat.example.org"),
        (["serve", "--model", "{model}", "--settings", "none.toml"], "none.toml"),
        (["serve", "--model", "{model}", "--port", "99999"], "not a port"),
        (["ask", "--model", "{model}"], "The question is empty"),
        (["ask", "--model", "{model}", " \n"], "The question is empty"),
        (["ask", "--model", "none-such", "x"], "There is no model named none-such"),
        (["admin", "keys", "revoke", "bise_none"], "There is no key bise_none"),
    ],
)
def test_mistakes_are_sentences(model: Path, arguments: list[str], words: str) -> None:
    done = bise(*(argument.format(model=model) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ask_answers_on_stdout_and_takes_stdin(model: Path) -> None:
    done = bise("ask", "--model", model, "--json", "Where?", stdin="The wind.")
    answer = json.loads(done.stdout)
    assert set(answer) == {"model", "text", "finish_reason", "num_prompt_tokens", "num_completion_tokens"}
    both = answer["num_prompt_tokens"]
    alone = json.loads(bise("ask", "--model", model, "--json", stdin="Where?").stdout)["num_prompt_tokens"]
    assert alone < both
    schema = Path(model).parent / "schema.json"
    schema.write_text('{"const": {"wind": ["north", 3]}}', encoding="utf-8")
    assert json.loads(bise("ask", "--model", model, "--schema", str(schema), "Where?").stdout) == {"wind": ["north", 3]}
    too_long = bise("ask", "--model", model, stdin="wind " * 300)
    assert too_long.returncode == 2
    assert "holds 256" in too_long.stderr


def test_keys_are_made_listed_and_revoked() -> None:
    key = succeed("admin", "keys", "--name", "editor").strip()
    made = json.loads(succeed("admin", "keys", "--json"))
    listed = json.loads(succeed("admin", "keys", "list", "--json"))
    assert made["prefix"] in {entry["prefix"] for entry in listed}
    prefix = next(entry["prefix"] for entry in listed if entry["name"] == "editor")
    assert key.startswith(prefix + "_")
    assert key not in succeed("admin", "keys", "list")
    assert json.loads(succeed("admin", "keys", "revoke", prefix, "--json"))["revoked_at"]
    assert "revoked" in succeed("admin", "keys", "list")


def test_a_taken_port_is_named_before_anything_is_started(model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = bise("serve", "--model", model, "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr


def test_a_backup_is_written_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    succeed("admin", "keys", "--name", "kept")
    copy = tmp_path / "copy.backup"
    assert json.loads(succeed("admin", "backup", copy, "--json"))["bytes"] == copy.stat().st_size
    succeed("admin", "keys", "--name", "later")
    asked = bise("admin", "restore", copy, stdin="n\n")
    assert asked.returncode == 130
    assert len(json.loads(succeed("admin", "keys", "list", "--json"))) == 2
    done = json.loads(succeed("admin", "restore", copy, "--yes", "--json"))
    assert done["rows"]["api_keys"] == 1
    assert [key["name"] for key in json.loads(succeed("admin", "keys", "list", "--json"))] == ["kept"]
    succeed("admin", "restore", done["before"], "--yes")
    assert len(json.loads(succeed("admin", "keys", "list", "--json"))) == 2
    again = bise("admin", "backup", copy)
    assert (again.returncode, again.stdout) == (2, "")
    assert "never replaces anything" in again.stderr


def test_a_server_for_others_knows_accounts_drains_and_tells_what_it_did(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    settings, port = tmp_path / "settings.toml", free_port()
    settings.write_text("drain_s = 30\nnotice_s = 1.5\nlog_requests = true\n", encoding="utf-8")
    succeed("admin", "users", "add", "ada", "--role", "admin")
    key = succeed("admin", "keys", "--user", "ada").split()[-1]
    url = "https://chat.example"
    link = succeed("admin", "users", "link", "ada", "--url", url).strip()
    command = [sys.executable, "-m", "bise", "serve", "--model", str(model), "--port", str(port), "--url", url]
    with subprocess.Popen(
        [*command, "--settings", str(settings)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().split()[-1] == url
        headers = {"host": "chat.example"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as browser:
            path = link.removeprefix(url)
            for _ in range(2):  # a program that shows a preview spends nothing
                assert "<button>" in browser.get(path).text
            entered = browser.post("/enter", data={"token": path.partition("=")[2]}, headers={"origin": url})
            cookie = entered.headers["set-cookie"]
            assert (entered.status_code, cookie.partition("=")[0]) == (303, "__Host-bise_session")
            assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
            assert browser.post("/enter", data={"token": path.partition("=")[2]}).status_code == 403
            assert browser.get("/api/state", headers={"host": "other.example"}).status_code == 421
            signed_in = {"cookie": cookie.partition(";")[0]}
            assert browser.get("/api/state", headers=signed_in).json()["user"]["name"] == "ada"
            while browser.get("/ready").status_code != 200:
                pass
            asked = {"model": "tiny", "messages": [{"role": "user", "content": "top secret"}], "stream": True}
            with browser.stream("POST", "/v1/chat/completions", json=asked, headers={"x-api-key": key}) as stream:
                lines = stream.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                while (told := browser.get("/ready")).status_code == 200:
                    pass
                assert told.headers["retry-after"]
                assert browser.get("/health").status_code == 200
                assert list(lines)[-2] == "data: [DONE]"
        _, words = process.communicate(timeout=60)
    assert process.returncode == 0
    requests = [json.loads(line) for line in words.splitlines() if line.startswith("{")]
    chat = next(each for each in requests if each["path"] == "/v1/chat/completions")
    assert (chat["status"], chat["key"]) == (200, "_".join(key.split("_", 2)[:2]))
    assert not any(secret in words for secret in ("top secret", path.partition("=")[2], key, signed_in["cookie"]))
    used = json.loads(succeed("admin", "usage", "--by", "user,model", "--json"))
    assert [(each["user"], each["model"], each["num_requests"]) for each in used] == [("ada", "tiny", 1)]
    assert used[0]["num_completion_tokens"] > 0


def test_a_server_and_its_commands_use_postgresql_when_it_is_named(
    model: Path, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    monkeypatch.setenv("BISE_DATABASE", postgres.new_url())
    key = client_key()
    with serve("--model", model, log=tmp_path / "log") as running:
        client = openai.OpenAI(base_url=running.url + "/v1", api_key=key)
        reply = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=5)
    (row,) = json.loads(succeed("admin", "usage", "--by", "model", "--json"))
    assert row["num_prompt_tokens"] + row["num_completion_tokens"] == reply.usage.total_tokens
    succeed("admin", "backup", tmp_path / "copy.backup")
    assert not (tmp_path / "bise.db").exists()


def test_the_first_admin_of_a_server_for_others_has_the_terminal_s_code(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    port, url = free_port(), "https://chat.example"
    command = [sys.executable, "-m", "bise", "serve", "--model", str(model), "--port", str(port), "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        *_, code = [process.stdout.readline().split()[-1] for _ in range(3)]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": "chat.example"}) as browser:
            account = {"name": "ada", "password": "four words of mine", "code": code}
            assert browser.post("/api/first-run", json=account | {"code": "x"}).status_code == 403
            made = browser.post("/api/first-run", json=account)
            assert made.status_code == 204
            assert "__Host-bise_session=" in made.headers["set-cookie"]
        process.terminate()
    assert [user["name"] for user in json.loads(succeed("admin", "users", "--json"))] == ["ada"]
