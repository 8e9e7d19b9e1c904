"""Learning from feedback is a program of its own that the page starts, follows, ends, and decides upon."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from bise.app.learning import COMPARISON, Learning, learn_command, read_result
from bise.errors import InputError
from tests.app.conftest import App
from tests.imitated_tune import imitate, imitated_command
from tests.scripted_backend import MODEL

pytestmark = pytest.mark.slow
ADAPTER = "scripted:feedback-1"


async def attempt(app: App) -> dict:
    return (await app.client.get("/api/learning")).json()["attempt"]


async def post(app: App, what: str = "", status: int = 204) -> dict:
    response = await app.client.post(f"/api/learning{what}")
    assert response.status_code == status, response.text
    return response.json() if response.content else {}


async def until(app: App, status: str) -> dict:
    async with asyncio.timeout(20):
        while (found := await attempt(app))["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def learned(app: App) -> dict:
    await post(app)
    found = await until(app, "finished")
    app.backend.offered = [MODEL, type(MODEL)(**(vars(MODEL) | {"id": ADAPTER}))]
    return found


async def test_contacts_are_kept_only_on_purpose_and_an_attempt_goes_on_as_it_was_begun(
    app: App, tmp_path: Path
) -> None:
    await learned(app)
    assert json.loads((app.home / "kept.json").read_text()) is False
    await post(app, "/discard")
    await post(app, "?keep_contacts=maybe", 422)
    await post(app, "?keep_contacts=true")
    await until(app, "finished")
    assert json.loads((app.home / "kept.json").read_text()) is True
    user = type("User", (), {"name": "ada"})()
    assert "--keep-contacts" in learn_command(user, "m", "n", True)
    assert "--keep-contacts" not in learn_command(user, "m", "n", False)


async def test_what_was_learned_is_shown_kept_and_gone_back_from(app: App) -> None:
    state = (await app.client.get("/api/learning")).json()
    assert (state["model"], state["default_model"], state["attempt"]) == ("scripted", "scripted", None)
    found = await learned(app)
    assert (found["adapter"], found["decided"]) == (ADAPTER, False)
    result = found["result"]
    assert (result["learned"], result["held_out"], len(result["answers"])) == (6, 2, 3)
    assert result["corrections"] == {"before": 3.0, "after": 1.0}
    assert result["general"] == {"before": 2.0, "after": 2.02}
    assert "got worse" in result["warnings"][0]
    await post(app, "/keep")
    assert (await app.client.get("/api/state")).json()["default_model"] == ADAPTER
    assert (await app.answered(await app.begin()))["messages"][1]["model"] == ADAPTER
    assert (await attempt(app))["decided"]
    await post(app, "/back")
    assert (await app.client.get("/api/state")).json()["default_model"] == "scripted"
    assert (app.home / "adapters/scripted/feedback-1").exists()
    await post(app, "/keep")
    assert (await app.client.get("/api/state")).json()["default_model"] == ADAPTER


async def test_what_is_discarded_is_gone_everywhere(app: App) -> None:
    await learned(app)
    await post(app, "/keep")
    conversation = await app.begin()
    await app.client.patch(f"/api/conversations/{conversation}", json={"model": ADAPTER})
    await post(app, "/discard")
    app.backend.offered = [MODEL]
    assert not (app.home / "adapters/scripted/feedback-1").exists()
    assert not (app.home / "runs/tune/feedback-1").exists()
    assert await attempt(app) is None
    assert (await app.client.get("/api/state")).json()["default_model"] == "scripted"
    assert (await app.answered(conversation))["messages"][1]["model"] == "scripted"
    for what in ("/keep", "/back", "/discard"):
        assert "Start again" in (await post(app, what, 404))["error"]["message"]


async def test_erasing_everything_reaches_earlier_runs_and_names_the_adapters_that_stay(app: App) -> None:
    for _ in range(3):
        await learned(app)
        await post(app, "/keep")
    runs, owner = app.home / "runs/tune", app.entrance.user.id
    (runs / "feedback-2/learned.jsonl").write_text("words of the owner")
    (app.home / "adapters/scripted/feedback-3/manifest.json").unlink()  # was removed meanwhile
    (runs / "others").mkdir()
    (runs / "others/owner.json").write_text(json.dumps({"user": "somebody", "model": "scripted"}))
    (runs / "others/learned.jsonl").write_text("words of somebody")
    stays = ["scripted:feedback-1", "scripted:feedback-2"]
    told = (await app.client.get("/api/stored")).json()
    assert (told["num_learning_runs"], told["adapters"]) == (3, stays)
    receipt = (await app.client.post("/api/erase", json={"confirm": "erase everything"})).json()["receipt"]
    assert (receipt["erased"]["learning_runs"], receipt["adapters"]) == (3, stays)
    left = {str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file()}
    assert left == {f"feedback-{n}/owner.json" for n in (1, 2)} | {"others/owner.json", "others/learned.jsonl"}
    assert not (app.home / "learning" / owner).exists()
    told = (await app.client.get("/api/stored")).json()  # they can be named later, too
    assert (told["num_learning_runs"], told["adapters"]) == (0, stays)
    again = (await app.client.post("/api/erase", json={"confirm": "erase everything"})).json()["receipt"]
    assert (again["erased"]["learning_runs"], again["adapters"]) == (0, stays)


async def test_progress_is_told_another_start_is_refused_and_a_new_server_finds_the_old_attempt(app: App) -> None:
    imitate(app.home, steps=400, pause_s=0.02)
    await post(app)
    async with asyncio.timeout(20):
        while not (found := (await attempt(app))["progress"])["step"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found["num_steps"] == 400
    assert found["seconds_left"] == 2 * (400 - found["step"])
    assert "already" in (await post(app, status=409))["error"]["message"]
    owner = app.entrance.user.id
    restarted = Learning(imitated_command(app.home), modules=())
    assert restarted.show(owner)["status"] == "running"
    adapter = app.home / "adapters/scripted/feedback-1"
    adapter.mkdir(parents=True)  # as once it compares
    (adapter / "manifest.json").write_text("{}")
    await asyncio.to_thread(restarted.cancel, owner)
    assert not adapter.exists()
    assert (await attempt(app))["status"] == "cancelled"
    assert not (app.home / "runs/tune/feedback-1").exists()
    restarted.cancel(owner)  # nothing runs: nothing happens


async def test_an_attempt_that_was_killed_goes_on_under_its_name(app: App) -> None:
    imitate(app.home, steps=400, pause_s=0.02)
    await post(app, "?keep_contacts=true")
    await until(app, "running")
    os.killpg(app.learning.attempt(app.entrance.user.id).pid, signal.SIGKILL)
    assert (await until(app, "interrupted"))["error"] is None
    imitate(app.home)
    assert (await learned(app))["adapter"] == ADAPTER
    assert json.loads((app.home / "kept.json").read_text()) is True  # as it was begun


async def test_what_the_program_refuses_is_said_and_the_next_attempt_has_a_name_of_its_own(app: App) -> None:
    imitate(app.home, error="There are 2 lessons, and at least 5 are needed.")
    await post(app)
    assert (await until(app, "failed"))["error"] == "There are 2 lessons, and at least 5 are needed."
    imitate(app.home)
    (app.home / "runs/tune/feedback-1").mkdir(parents=True)
    await post(app)
    assert (await until(app, "finished"))["adapter"] == "scripted:feedback-2"


async def test_packages_that_are_missing_are_named_with_what_to_type(app: App) -> None:
    app.learning._modules = ("json", "no_such_package")
    assert (await app.client.get("/api/learning")).json()["missing"] == ["no_such_package"]
    refused = await post(app, status=503)
    assert 'no_such_package, which is not installed. Type: pip install "bise[train]"' in refused["error"]["message"]


async def test_attempts_belong_to_their_owners(app: App) -> None:
    await learned(app)
    assert (await app.other.get("/api/learning")).json()["attempt"] is None
    assert (await app.other.post("/api/learning/discard")).status_code == 404
    assert (await attempt(app))["status"] == "finished"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"after": {"en": {}}, "before": {}}'])
def test_a_damaged_comparison_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / COMPARISON).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"comparison\.json is damaged"):
        read_result(tmp_path / COMPARISON)


def test_the_pairs_tell_when_no_answers_were_held_out(tmp_path: Path) -> None:
    told = {"learned": 1, "held_out": 1, "seconds": 1, "answers": [], "warnings": []}
    told |= {"like_wanted": {"before": 0.0, "after": 1.0}, "others_like_before": None, "num_others": 0}
    told |= {when: {"pairs en": {"loss": loss}} for when, loss in (("before", 0.7), ("after", 0.1))}
    (tmp_path / COMPARISON).write_text(json.dumps(told), encoding="utf-8")
    result = read_result(tmp_path / COMPARISON)
    assert (result["corrections"], result["general"]) == ({"before": 0.7, "after": 0.1}, None)
