"""Whoever comes in is bound by all limits that apply, on every header and path, and pays to the token."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.auth import KeyRing
from bise.server.guard import Guard
from bise.server.metering import Meter
from bise.server.settings import ServerSettings
from bise.store.accounts import User, create_user, disable_user
from bise.store.database import Database, open_database
from bise.store.keys import Grant, create_key, revoke_key
from bise.store.limits import set_limits
from bise.store.projects import change_member, create_project
from bise.store.usage import report
from tests.scripted_backend import MODEL, Gate, ScriptedBackend, until
from tests.serving import serving

CHAT = "/v1/chat/completions"
BODY = {"model": "scripted", "messages": [{"role": "user", "content": "Hello you"}], "max_tokens": 4}
PATHS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, BODY),
    ("/openai/deployments/scripted/chat/completions", BODY),
    ("/v1/completions", {"model": "scripted", "prompt": "Hi", "max_tokens": 4}),
    ("/openai/deployments/scripted/completions", {"prompt": "Hi", "max_tokens": 4}),
    ("/v1/fim/completions", {"model": "scripted", "prompt": "Hi", "suffix": ".", "max_tokens": 4}),
    ("/v1/messages", BODY),
    ("/v1/embeddings", {"model": "scripted", "input": ["Hi"]}),
    ("/openai/deployments/scripted/embeddings", {"input": ["Hi"]}),
]
HEADERS: list[Callable[[str], dict[str, str]]] = [
    lambda key: {"authorization": f"Bearer {key}"},
    lambda key: {"x-api-key": key},
    lambda key: {"api-key": key},
]


@dataclass
class Platform:
    database: Database
    backend: ScriptedBackend
    admission: Admission
    ada: User
    client: httpx.AsyncClient
    hour: list[float]  # what the clock says

    async def key(self, **grant: Any) -> str:
        return (await create_key(self.database, self.ada, "k", Grant(**grant)))[1]

    async def post(self, key: str, path: str = CHAT, body: dict[str, Any] = BODY, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"authorization": f"Bearer {key}", **headers})

    async def used(self, *by: Any) -> list[dict[str, Any]]:
        await self.admission.meter.write()
        return await report(self.database, by)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    database = await open_database(f"sqlite:///{tmp_path / 'bise.db'}")
    backend, hour = ScriptedBackend(), [datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()]
    settings = ServerSettings(max_requests=3)
    admission = Admission(backend, database, settings, meter=Meter(database, lambda: hour[0]))
    app = Guard(create_api(admission, database))
    ada = await create_user(database, "ada")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield Platform(database, backend, admission, ada, client, hour)
    await admission.meter.close()
    await database.close()


@pytest.mark.parametrize(("path", "body"), PATHS, ids=[path for path, _ in PATHS])
async def test_no_path_and_no_header_goes_around_a_budget(platform: Platform, path: str, body: dict[str, Any]) -> None:
    key = await platform.key()
    assert (await platform.post(key, path, body)).status_code == 200
    await set_limits(platform.database, "user:ada", {"tokens_total": 1})
    for headers in HEADERS:
        for stream in (False, True):
            response = await platform.client.post(path, json=body | {"stream": stream}, headers=headers(key))
            assert response.status_code == 429, response.text
            assert int(response.headers["retry-after"]) > 0
    assert sum(row["num_requests"] for row in await platform.used()) == 1


async def test_usage_is_what_the_answer_says_whichever_way_it_comes(platform: Platform) -> None:
    key = await platform.key()
    for stream in (False, True):
        await platform.post(key, body=BODY | {"stream": stream})
    whole = (await platform.post(key)).json()["usage"]
    (row,) = await platform.used("day", "user", "model")
    assert (row["day"], row["user"], row["model"], row["num_requests"]) == ("2026-11-26", "ada", "scripted", 3)
    assert row["num_prompt_tokens"] == 3 * whole["prompt_tokens"]
    assert row["num_completion_tokens"] == 3 * whole["completion_tokens"]


async def test_a_client_that_goes_away_pays_what_was_written(platform: Platform) -> None:
    gate = platform.backend.before_word = Gate()
    gate.open(2)
    key, app = await platform.key(), Guard(create_api(platform.admission, platform.database))
    for stream in (False, True):
        async with serving(app) as root, httpx.AsyncClient(base_url=root) as client:
            headers = {"authorization": f"Bearer {key}"}
            asking = asyncio.create_task(client.post(CHAT, json=BODY | {"stream": stream}, headers=headers))
            await until(lambda: platform.backend.num_running == 1)
            await asyncio.sleep(0.1)
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await until(lambda: platform.admission.num_requests == 0)
        gate.open(2)
    (row,) = await platform.used()
    assert (row["num_requests"], row["num_completion_tokens"]) == (2, 4)
    assert row["num_prompt_tokens"] > 0


async def test_requests_a_second(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "everybody", {"requests_per_s": 0.5})
    assert (await platform.post(key)).status_code == 200
    refused = await platform.post(key)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error"]["code"] == "rate_limited"
    assert "0.5 requests a second" in refused.json()["error"]["message"]
    platform.hour[0] += 2
    assert (await platform.post(key)).status_code == 200
    assert (await platform.post(key, "/v1/tokenize", {"prompt": "x"})).status_code == 429
    await set_limits(platform.database, "everybody", {"requests_per_s": 2.0})
    platform.hour[0] += 9
    told = [(await platform.post(key)).json() for _ in range(4)][-1]["error"]
    assert "is 2 requests a second" in told["message"]
    assert told["values"] == {"kind": "requests", "limit": 2, "seconds": 1}


async def test_tokens_a_minute_come_again(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "user:ada", {"tokens_per_min": 13})
    assert (await platform.post(key)).status_code == 200  # 3 and 4
    platform.hour[0] += 20
    refused = await platform.post(key, body=BODY | {"max_tokens": 6})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert (await platform.post(key, body=BODY | {"max_tokens": 3})).status_code == 200
    platform.hour[0] += 41
    assert (await platform.post(key)).status_code == 200
    too_big = await platform.post(key, body=BODY | {"max_tokens": 14})
    assert (too_big.status_code, too_big.headers["x-should-retry"]) == (429, "false")
    assert "17 tokens" in too_big.json()["error"]["message"]


async def test_a_month_s_tokens_count_what_was_used_before_the_start_and_begin_anew(platform: Platform) -> None:
    key = await platform.key()
    await platform.post(key)
    await platform.admission.meter.write()
    await set_limits(platform.database, "user:ada", {"tokens_per_month": 12})
    again = Admission(platform.backend, platform.database, meter=Meter(platform.database, lambda: platform.hour[0]))
    app = Guard(create_api(again, platform.database))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        headers = {"x-api-key": key}
        refused = await client.post(CHAT, json=BODY, headers=headers)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        seconds = (datetime(2026, 12, 1, tzinfo=UTC) - datetime(2026, 11, 26, 12, tzinfo=UTC)).total_seconds()
        assert refused.headers["retry-after"] == str(int(seconds))
        platform.hour[0] += seconds
        assert (await client.post(CHAT, json=BODY, headers=headers)).status_code == 200
    await again.meter.close()


async def test_what_is_being_answered_counts_already(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "user:ada", {"tokens_total": 10})
    gate = platform.backend.before_word = Gate()
    first = asyncio.create_task(platform.post(key))
    await until(lambda: platform.backend.num_running == 1)
    assert (await platform.post(key)).status_code == 429
    gate.open()
    assert (await first).status_code == 200
    assert platform.admission.num_requests == 0


async def test_requests_at_the_same_time_and_a_place_that_is_free_again(platform: Platform) -> None:
    key, other = await platform.key(), await platform.key()
    await set_limits(platform.database, f"key:{key.rpartition('_')[0][:15]}", {"parallel": 1})
    gate = platform.backend.before_word = Gate()
    first = asyncio.create_task(platform.post(key))
    await until(lambda: platform.backend.num_running == 1)
    assert (await platform.post(key)).status_code == 429
    others = [asyncio.create_task(platform.post(other)) for _ in range(2)]
    await until(lambda: platform.backend.num_running == 3)
    full = await platform.post(other)
    assert (full.status_code, full.json()["error"]["type"]) == (503, "overloaded_error")
    assert full.headers["retry-after"]
    assert (await platform.client.get("/ready")).status_code == 503
    assert (await platform.client.get("/health")).status_code == 200
    watcher = await platform.key(scopes=("metrics",))
    told = await platform.client.get("/metrics", headers={"x-api-key": watcher})
    assert 'bise:requests_refused_total{code="server_full"} 1.0' in told.text
    gate.open()
    assert [each.status_code for each in await asyncio.gather(first, *others)] == [200, 200, 200]
    assert (await platform.post(key)).status_code == 200
    assert (await platform.client.get("/ready")).status_code == 200


async def test_several_prompts_are_one_request(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "user:ada", {"parallel": 1})
    body = {"model": "scripted", "prompt": ["a", "b", "c"], "max_tokens": 2}
    assert (await platform.post(key, "/v1/completions", body)).status_code == 200
    await set_limits(platform.database, "user:ada", {"tokens_per_min": 15})
    assert (await platform.post(key, "/v1/completions", body)).status_code == 429  # 9 and 6, and what was said before
    assert (await platform.used())[0]["num_completion_tokens"] == 6
    assert (await platform.post(key, "/v1/completions", body | {"prompt": "a"})).status_code == 200


async def test_a_request_that_is_wrong_costs_nothing(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "user:ada", {"parallel": 1, "tokens_per_min": 20})
    for body in (
        BODY | {"model": "none"},
        BODY | {"messages": []},
        BODY | {"messages": [{"role": "user", "content": "a " * 70}]},
    ):
        assert (await platform.post(key, body=body)).status_code in (400, 404, 429)
    assert platform.admission.num_requests == 0
    assert (await platform.post(key)).status_code == 200
    (row,) = await platform.used("model")
    assert (row["model"], row["num_requests"], row["num_prompt_tokens"]) == ("scripted", 1, 3)


async def test_a_project_s_limits_bind_all_its_keys(platform: Platform) -> None:
    await create_project(platform.database, "search")
    bob = await create_user(platform.database, "bob")
    keys = []
    for user in (platform.ada, bob):
        await change_member(platform.database, "search", user.name, True)
        keys.append((await create_key(platform.database, user, "k", Grant(project="search")))[1])
    await set_limits(platform.database, "project:search", {"tokens_per_min": 10})
    assert (await platform.post(keys[0])).status_code == 200
    refused = await platform.post(keys[1])
    assert refused.status_code == 429
    assert "this key's project" in refused.json()["error"]["message"]
    assert (await platform.post(await platform.key())).status_code == 200
    assert {row["project"] for row in await platform.used("project")} == {"search", ""}


async def test_a_key_asks_only_the_models_and_does_only_the_things_that_it_is_for(platform: Platform) -> None:
    platform.backend.offered = [MODEL, type(MODEL)("secret", 64, 1)]
    key = await platform.key(models=("scripted",), scopes=("inference",))
    headers = {"x-api-key": key}
    listed = (await platform.client.get("/v1/models", headers=headers)).json()
    assert [card["id"] for card in listed["data"]] == ["scripted"]
    assert (await platform.client.get("/v1/models/secret", headers=headers)).status_code == 404
    for path, body in PATHS:
        asked = path.replace("scripted", "secret")
        response = await platform.post(key, asked, body | {"model": "secret"})
        assert response.status_code == (403 if "embeddings" in path else 404), path
        echoed = ("no model 'secret'", '"values":{"model":"secret"}')  # what was asked for, and that is all
        told = response.text
        for each in echoed:
            told = told.replace(each, "")
        assert "secret" not in told
    count = BODY | {"model": "secret"}
    assert (await platform.post(key, "/v1/messages/count_tokens", count)).status_code == 404
    assert (await platform.client.get("/metrics", headers=headers)).status_code == 403
    assert platform.backend.requests == platform.backend.completions == platform.backend.embeddings == []
    only_vectors = await platform.key(scopes=("embeddings",))
    assert (await platform.post(only_vectors)).status_code == 403


async def test_what_this_process_changes_about_keys_is_true_at_once(platform: Platform) -> None:
    key = await platform.key()
    prefix = "_".join(key.split("_", 2)[:2])
    assert (await platform.post(key)).status_code == 200
    await disable_user(platform.database, "ada", True)
    assert (await platform.post(key)).status_code == 401
    await disable_user(platform.database, "ada", False)
    assert (await platform.post(key)).status_code == 200
    await revoke_key(platform.database, platform.ada, prefix)
    assert (await platform.post(key)).status_code == 401


async def test_what_another_process_changes_is_true_soon_and_looking_up_is_quick(
    platform: Platform, tmp_path: Path
) -> None:
    key = await platform.key()
    ring = KeyRing(platform.database)
    assert await ring.find(key) is not None
    began = time.perf_counter()
    for _ in range(1000):
        await ring.find(key)
    assert time.perf_counter() - began < 1  # well under a millisecond each, on any machine
    other = await open_database(f"sqlite:///{tmp_path / 'bise.db'}")
    await revoke_key(other, None, "_".join(key.split("_", 2)[:2]))
    await other.close()
    async with asyncio.timeout(5):
        while await ring.find(key) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_what_cannot_be_written_down_now_is_kept(platform: Platform) -> None:
    key = await platform.key()
    await platform.post(key)
    async with platform.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE usage RENAME TO elsewhere")
    with pytest.raises(Exception, match="usage"):
        await platform.admission.meter.write()
    await platform.post(key)
    async with platform.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO usage")
    assert (await platform.used())[0]["num_requests"] == 2


async def test_metrics_say_what_happened_in_vllm_s_words(platform: Platform) -> None:
    key, watcher = await platform.key(), await platform.key(scopes=("metrics",))
    await platform.post(key, body=BODY | {"stream": True})
    assert (await platform.client.get("/metrics", headers={"x-api-key": key})).status_code == 403
    assert (await platform.client.get("/metrics")).status_code == 401
    told = (await platform.client.get("/metrics", headers={"x-api-key": watcher})).text
    for line in (
        'bise:prompt_tokens_total{model_name="scripted"} 3.0',
        'bise:generation_tokens_total{model_name="scripted"} 4.0',
        'bise:request_success_total{finished_reason="length",model_name="scripted"} 1.0',
        'bise:time_to_first_token_seconds_count{model_name="scripted"} 1.0',
        'bise:inter_token_latency_seconds_count{model_name="scripted"} 3.0',
        'bise:e2e_request_latency_seconds_count{model_name="scripted"} 1.0',
    ):
        assert line in told, told
    for name in ("vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "bise:num_requests_running"):
        assert f"# TYPE {name} gauge" in told


async def test_the_official_client_believes_what_it_is_told(platform: Platform) -> None:
    key = await platform.key()
    await set_limits(platform.database, "user:ada", {"tokens_total": 8})
    app = Guard(create_api(platform.admission, platform.database))
    async with serving(app) as root, openai.AsyncOpenAI(base_url=f"{root}/v1", api_key=key) as client:
        await client.chat.completions.create(**BODY)
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError, match="limit of your account is 8 tokens in all"):
            await client.chat.completions.create(**BODY)
        assert time.monotonic() - began < 5  # it did not wait for what never comes
