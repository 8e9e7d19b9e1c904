"""What a client of the API sees when the engine's process is killed: an end of its stream, and a server that goes on."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.guard import Guard
from bise.server.local import LocalBackend
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.keys import create_key
from tests.serving import serving
from tests.speaking_model import write_speaking_model

PATH = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "Where is the wind?"}], "temperature": 0}

pytestmark = pytest.mark.slow


async def test_a_stream_ends_with_an_error_within_a_second_and_the_server_answers_again(tmp_path: Path) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'bise.db'}")
    _, key = await create_key(database, await local_owner(database), "test")
    backend = LocalBackend(write_speaking_model(tmp_path / "tiny", context_length=100_000, endless=True))
    try:
        await backend.start()
        headers = {"authorization": f"Bearer {key}"}
        async with (
            serving(Guard(create_api(Admission(backend, database), database))) as root,
            httpx.AsyncClient(base_url=root, headers=headers, timeout=60) as client,
        ):
            before = await client.post(PATH, json=BODY | {"max_tokens": 8})
            async with client.stream("POST", PATH, json=BODY | {"stream": True, "max_tokens": 50_000}) as stream:
                lines = stream.aiter_lines()
                while '"content":"' not in await anext(lines):
                    pass
                os.kill(backend._engine.process_id, signal.SIGKILL)
                killed_at = time.monotonic()
                rest = [line async for line in lines if line]
                assert time.monotonic() - killed_at < 1
            assert "ended by SIGKILL" in rest[-2]
            assert '"code":"engine_interrupted"' in rest[-2]
            assert rest[-1] == "data: [DONE]"
            after = await client.post(PATH, json=BODY | {"max_tokens": 8})  # waits for the next engine
            assert after.json()["choices"] == before.json()["choices"]
            assert (await client.get("/health")).status_code == 200
    finally:
        await backend.close()
        await database.close()
