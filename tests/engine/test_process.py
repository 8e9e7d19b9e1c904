"""The engine's process may die at any moment: requests then end with a sentence, and the next one is answered."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bise.engine.core import EngineConfig
from bise.engine.process import EngineProcess
from bise.engine.sampling import SamplingParams
from bise.errors import InputError, UnavailableError
from tests.random_models import TINY, write_model

LONG = replace(TINY, context_length=100_000)  # an answer of minutes
GREEDY = SamplingParams(temperature=0, max_tokens=8)
ENDLESS = replace(GREEDY, max_tokens=None)

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]


@asynccontextmanager
async def running(directory: Path, config: EngineConfig | None = None) -> AsyncIterator[EngineProcess]:
    engine = await EngineProcess.start(directory, config)
    try:
        yield engine
    finally:
        await engine.close()


async def answer(engine: EngineProcess, ids: list[int], params: SamplingParams = GREEDY) -> list[int]:
    tokens: list[int] = []
    async for output in engine.generate(ids, params):
        tokens += output.token_ids
    assert output.finish_reason == "length"
    return tokens


async def test_answers_arrive_together_and_wrong_requests_are_refused(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, TINY)) as engine:
        assert engine.ready
        assert engine.kernels == "numba"
        assert engine.max_length == 64
        first, second, third = await asyncio.gather(*(answer(engine, ids) for ids in ([1, 2], [3], [1, 2])))
        assert first == third != second
        with pytest.raises(InputError, match="64 tokens, but this model's context is 64"):
            await answer(engine, [1] * 64)
        assert await answer(engine, [1, 2]) == first
    assert not engine.ready
    with pytest.raises(UnavailableError, match="closed"):
        await answer(engine, [1, 2])


async def test_a_killed_engine_ends_requests_with_a_sentence_and_comes_back(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, LONG)) as engine:
        expected = await answer(engine, [1, 2, 3])
        stream = engine.generate([1, 2, 3], ENDLESS)
        await anext(stream)
        assert engine.process_id is not None
        os.kill(engine.process_id, signal.SIGKILL)
        with pytest.raises(UnavailableError, match=r"ended by SIGKILL.*ask again"):
            async for _ in stream:
                pass
        assert await answer(engine, [1, 2, 3]) == expected


async def test_closing_the_iterator_frees_the_only_place(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, LONG), EngineConfig(max_sequences=1)) as engine:
        stream = engine.generate([1], ENDLESS)
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(answer(engine, [2]), 20)  # the first answer alone would take minutes
        task = asyncio.create_task(answer(engine, [1], ENDLESS))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait_for(answer(engine, [2]), 20)


async def test_close_ends_the_process_and_requests_in_flight(tmp_path: Path) -> None:
    engine = await EngineProcess.start(write_model(tmp_path, LONG))
    stream = engine.generate([1], ENDLESS)
    await anext(stream)
    process_id = engine.process_id
    assert process_id is not None
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
    with pytest.raises(UnavailableError, match="closed"):
        async for _ in stream:
            pass
    await engine.close()


async def test_a_damaged_model_is_told_in_its_own_sentence(tmp_path: Path) -> None:
    directory = write_model(tmp_path, TINY)
    with (directory / "model.safetensors").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        await EngineProcess.start(directory)
    with pytest.raises(InputError, match=r"has no spec\.json"):
        await EngineProcess.start(tmp_path / "nothing")


async def test_a_model_damaged_while_running_ends_the_restarts(tmp_path: Path) -> None:
    directory = write_model(tmp_path, TINY)
    async with running(directory) as engine:
        (directory / "spec.json").write_text("{", encoding="utf-8")
        assert engine.process_id is not None
        os.kill(engine.process_id, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            await answer(engine, [1])
        with pytest.raises(InputError, match="damaged"):
            await answer(engine, [1])


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, signal
from pathlib import Path
from bise.engine.process import EngineProcess
from bise.engine.sampling import SamplingParams

async def main():
    engine = await EngineProcess.start(Path({str(write_model(tmp_path, LONG))!r}))
    async for _ in engine.generate([1], SamplingParams()):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    # The child inherits stderr, so this returns only when both are gone; the answer alone would take minutes.
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == b""


async def test_without_a_compiler_the_engine_says_so_and_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory = write_model(tmp_path, TINY)
    async with running(directory) as engine:
        expected = await answer(engine, [1, 2])
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    async with running(directory) as engine:
        assert engine.kernels == "numpy"
        assert await answer(engine, [1, 2]) == expected
    assert "NUMBA_DISABLE_JIT" in caplog.text
