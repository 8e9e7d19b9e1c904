"""The engine's process may die at any moment: requests then end with a sentence, and the next one is answered."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bise.engine.core import EngineConfig
from bise.engine.process import WORKER, EngineProcess, Supervision
from bise.engine.protocol import (
    VERSION,
    Add,
    Cancel,
    Outputs,
    ProtocolError,
    Start,
    ToEngine,
    encode,
    read_to_server,
)
from bise.engine.requests import Grammar, Request
from bise.engine.sampling import SamplingParams
from bise.errors import InputError, UnavailableError
from bise.tokenizer.chat import ChatTokenizer
from tests.random_models import TINY, write_model
from tests.speaking_model import write_speaking_model

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


@asynccontextmanager
async def scripted(mode: str, state: Path, supervision: Supervision) -> AsyncIterator[EngineProcess]:
    worker = [sys.executable, str(Path(__file__).with_name("scripted_worker.py")), mode, str(state)]
    engine = await EngineProcess.start(Path("nowhere"), supervision=supervision, worker=worker)
    try:
        yield engine
    finally:
        await engine.close()


def kill(engine: EngineProcess) -> None:
    assert engine.process_id is not None
    os.kill(engine.process_id, signal.SIGKILL)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


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
        kill(engine)
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


async def test_a_grammar_is_kept_and_a_wrong_one_is_a_sentence(tmp_path: Path) -> None:
    directory = write_speaking_model(tmp_path / "speaking")
    tokenizer = ChatTokenizer.load(directory)
    async with running(directory) as engine:
        params = replace(GREEDY, stop_ids=tokenizer.stop_ids, max_tokens=100)
        for kind, source, expected in (
            ("json_schema", '{"const": {"wind": "north"}}', '{"wind": "north"}'),
            ("regex", "over the lake", "over the lake"),
        ):
            stream = engine.generate([300], params, grammar=Grammar(kind, source))
            ids = [token async for output in stream for token in output.token_ids]
            assert tokenizer.decode(ids) == expected
        with pytest.raises(InputError, match="uniqueItems"):
            await anext(engine.generate([300], params, grammar=Grammar("json_schema", '{"uniqueItems": true}')))
        assert engine.num_requests == 0


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


async def test_a_model_damaged_while_running_is_told_until_it_is_mended(tmp_path: Path) -> None:
    directory = write_model(tmp_path, TINY)
    async with running(directory) as engine:
        expected = await answer(engine, [1])
        spec = (directory / "spec.json").read_text(encoding="utf-8")
        (directory / "spec.json").write_text("{", encoding="utf-8")
        kill(engine)
        await until(lambda: not engine.ready)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="damaged"):
                await answer(engine, [1])
        (directory / "spec.json").write_text(spec, encoding="utf-8")
        await until(lambda: engine.ready, 30)
        assert await answer(engine, [1]) == expected


async def test_requests_in_flight_hear_of_a_death_within_a_second(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, LONG)) as engine:
        streams = [engine.generate([1, 2, i], ENDLESS) for i in range(5)]
        for stream in streams:
            await anext(stream)
        assert engine.num_requests == 5
        kill(engine)
        async with asyncio.timeout(1):
            for stream in streams:
                with pytest.raises(UnavailableError, match="ended by SIGKILL"):
                    async for _ in stream:
                        pass
        assert engine.num_requests == 0
        assert engine.stats is None
        await answer(engine, [1])
        assert engine.num_restarts == 1


async def test_whenever_it_is_killed_each_request_is_answered_right_or_told(tmp_path: Path) -> None:
    dice = random.Random(3)
    directory = write_model(tmp_path, replace(TINY, context_length=512))
    prompts = [[1 + number, 2, 3] for number in range(8)]
    params = SamplingParams(temperature=1, seed=4, max_tokens=150)
    engine = await EngineProcess.start(directory, supervision=Supervision(first_pause_s=0.01, longest_pause_s=0.05))
    told: list[str] = []
    num_right = 0

    async def ask(index: int) -> None:
        nonlocal num_right
        while num_kills < 6:
            try:
                assert await answer(engine, prompts[index], params) == expected[index]
                num_right += 1
            except UnavailableError as error:
                told.append(str(error))
                await asyncio.sleep(0.05)

    try:
        expected = [await answer(engine, prompt, params) for prompt in prompts]
        num_kills = 0
        clients = [asyncio.create_task(ask(index)) for index in range(len(prompts))]
        while num_kills < 6:
            await asyncio.sleep(dice.uniform(0, 2))  # while it starts, loads, waits or computes
            if engine.process_id is not None:
                kill(engine)
                num_kills += 1
        await asyncio.gather(*clients)
        assert told
        assert all("SIGKILL" in words for words in told)
        assert num_right > 0
        await until(lambda: engine.ready, 30)
        assert await answer(engine, prompts[0], params) == expected[0]
        assert engine.num_requests == 0
    finally:
        await engine.close()


async def test_an_engine_that_dies_again_and_again_refuses_at_once_and_is_tried_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    async with scripted("mortal", state, Supervision(first_pause_s=0.05, longest_pause_s=0.3)) as engine:
        with pytest.raises(UnavailableError, match="exit code 3 while it was answering"):
            await answer(engine, [1])
        await until(lambda: engine.num_restarts >= 2, 30)
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"exit code 3, \d times in a row.* use a smaller model"):
                async with asyncio.timeout(5):
                    await answer(engine, [1])
        assert not engine.ready
        state.write_text("mended")
        await until(lambda: engine.ready, 30)
        assert await answer(engine, [1]) == [7]
    pauses = [float(record.getMessage().split()[-2]) for record in caplog.records if "again in" in record.getMessage()]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] <= 0.3


async def test_a_stuck_engine_is_killed_and_the_next_answers(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with scripted("stuck", state, Supervision(hang_s=1)) as engine:
        await asyncio.sleep(1.5)  # having nothing to do is no reason to be killed
        assert engine.num_restarts == 0
        state.write_text("mended")
        with pytest.raises(UnavailableError, match=r"made no step for 1 s and was killed.*ask again"):
            await answer(engine, [1])
        assert await answer(engine, [1]) == [7]


@pytest.mark.parametrize(
    ("mode", "words"), [("version", f"the other version {VERSION + 1}"), ("noise", "'Fatal: something went wrong")]
)
async def test_a_child_that_does_not_speak_our_language_is_a_sentence(tmp_path: Path, mode: str, words: str) -> None:
    with pytest.raises(ProtocolError, match="start the server again") as error:
        async with scripted(mode, tmp_path / "state", Supervision()):
            pass
    assert words in str(error.value)


async def test_several_answers_and_log_probabilities_come_through(tmp_path: Path) -> None:
    params = SamplingParams(seed=5, n=3, max_tokens=6, logprobs=2, prompt_logprobs=0)
    async with running(write_model(tmp_path, TINY)) as engine:
        outputs = [output async for output in engine.generate([1, 2, 3], params)]
        assert engine.num_requests == 0
        answers = {index: [o for o in outputs if o.index == index] for index in range(3)}
        texts = [tuple(token for o in answer for token in o.token_ids) for answer in answers.values()]
        assert len(set(texts)) == 3
        for text, answer in zip(texts, answers.values(), strict=True):
            assert [o.finish_reason for o in answer] == [None] * 5 + ["length"]
            logprobs = [logprob for o in answer for logprob in o.logprobs]
            assert [logprob.token_id for logprob in logprobs] == list(text)
            assert all(len(logprob.top) == 2 and logprob.logprob < 0 for logprob in logprobs)
        (scored,) = (o.prompt_logprobs for o in outputs if o.prompt_logprobs is not None)
        assert [logprob and logprob.token_id for logprob in scored] == [None, 2, 3]
        alone = [output async for output in engine.generate([1, 2, 3], replace(params, n=1))]
        assert [token for o in alone for token in o.token_ids] == list(texts[0])


async def test_one_of_several_answers_can_be_ended_and_the_others_go_on(tmp_path: Path) -> None:
    params = SamplingParams(seed=5, n=3, max_tokens=50)
    async with running(write_model(tmp_path, LONG)) as engine:
        whole = [output async for output in engine.generate([1, 2, 3], params)]
        answers: list[list[int]] = [[], [], []]
        endings = []
        async for output in engine.generate([1, 2, 3], replace(params, max_tokens=None)):
            answers[output.index] += output.token_ids
            if output.finish_reason is not None:
                endings.append((output.index, output.finish_reason))
            elif output.index == 1 or len(answers[output.index]) == 50:
                engine.end_answer(output)
        assert endings[0] == (1, "stop")
        assert sorted(endings) == [(0, "stop"), (1, "stop"), (2, "stop")]
        for index in (0, 2):
            wanted = [token for o in whole if o.index == index for token in o.token_ids]
            assert answers[index][:50] == wanted
        await until(lambda: engine.stats is not None and engine.stats.num_running == 0)


async def test_a_vector_comes_through(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, TINY)) as engine:
        first, second = await engine.embed([1, 2, 3]), await engine.embed([1, 2, 4], tenant="ada")
        assert len(first) == TINY.hidden_size
        assert first == await engine.embed([1, 2, 3])
        assert first != second
        with pytest.raises(InputError, match="empty"):
            await engine.embed([])


async def test_a_prompt_is_shared_within_its_tenant_only(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, TINY)) as engine:

        async def num_cached(tenant: str) -> int:
            stream = engine.generate([5] * 40, GREEDY, tenant=tenant, priority="batch")
            return max([output.num_cached_tokens async for output in stream])

        assert [await num_cached(tenant) for tenant in ("ada", "bob", "ada", "bob")] == [0, 0, 32, 32]


async def test_figures_come_without_being_asked_for(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, TINY)) as engine:
        await answer(engine, [1, 2])
        await until(lambda: engine.stats is not None and engine.stats.num_drawn_tokens == 8)
        assert engine.stats is not None
        assert engine.stats.num_running == engine.stats.num_waiting == engine.stats.num_used_blocks == 0


async def test_who_waits_hears_its_number_in_the_line(tmp_path: Path) -> None:
    async with running(write_model(tmp_path, LONG), EngineConfig(max_sequences=1)) as engine:
        heard: list[list[int]] = [[], [], []]

        async def ask(number: int) -> None:
            async for _ in engine.generate([number + 1], ENDLESS, place=heard[number].append):
                pass

        asked = []
        for number in range(3):
            asked.append(asyncio.create_task(ask(number)))
            await until(lambda number=number: engine.num_requests == number + 1)
        await until(lambda: heard[1][-1:] == [1] and heard[2][-1:] == [2])
        assert set(heard[0]) == {0}
        asked[0].cancel()
        await until(lambda: heard[1][-1] == 0 and heard[2][-1] == 1)
        for task in asked[1:]:
            task.cancel()


def test_a_cancelled_request_gets_no_token_in_the_next_step(tmp_path: Path) -> None:
    slow = replace(TINY, hidden_size=512, num_layers=8, num_heads=8, ffn_size=2048, context_length=4096)
    start = Start(VERSION, os.getpid(), str(write_model(tmp_path, slow)), EngineConfig())
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def say(*messages: ToEngine) -> None:
            child.stdin.write(b"".join(map(encode, messages)))
            child.stdin.flush()

        def hear() -> list[str]:
            while not isinstance(message := read_to_server(child.stdout.readline()), Outputs):
                pass
            return [output.request_id for output in message.outputs]

        say(start, Add(Request("first", (1, 2), ENDLESS)))
        for _ in range(10):
            assert hear() == ["first"]
        say(Cancel("first"), Add(Request("second", (3,), replace(GREEDY, max_tokens=2))))
        while (ids := hear()) == ["first"]:  # the step that was running, and lines that were under way
            pass
        assert ids == hear() == ["second"]
        child.stdin.close()
        assert child.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end it by the end of stdin only")
def test_a_child_that_cannot_read_ends_with_its_parent_all_the_same() -> None:
    child = """
import ctypes, os, sys
from bise.lifetime import die_with
die_with(os.getppid())
print(os.getpid(), flush=True)
ctypes.PyDLL(None).sleep(600)  # as a step that lets no other thread run
"""
    parent = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
sys.stdout.buffer.write(child.stdout.readline())
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The child inherits stderr, so this returns only when both are gone.
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == b""
    assert int(done.stdout) > 1


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
