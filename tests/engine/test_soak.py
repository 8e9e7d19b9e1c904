"""Ten thousand requests of every kind through the engine's process: nothing is left of them, here or there."""

import asyncio
import random
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from bise.engine.process import EngineProcess
from bise.engine.sampling import SamplingParams
from bise.errors import InputError
from tests.random_models import TINY, write_model

NUM_REQUESTS = 10_000
NUM_CLIENTS = 32
# Between the medians of the second and the last quarter, 5,000 requests apart: 400 bytes a request.
MOST_GROWTH_BYTES = 2_000_000

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
async def test_ten_thousand_requests_leave_nothing_behind(tmp_path: Path) -> None:
    engine = await EngineProcess.start(write_model(tmp_path, replace(TINY, context_length=256)))
    try:
        child = engine.process_id
        numbers, sizes = iter(range(NUM_REQUESTS)), []

        async def client() -> None:
            for number in numbers:
                await ask(engine, number)
                if number % 50 == 0:
                    sizes.append((resident_bytes("self"), resident_bytes(str(child))))

        await asyncio.gather(*(client() for _ in range(NUM_CLIENTS)))
        async with asyncio.timeout(10):
            while engine.stats is None or engine.stats.num_running + engine.stats.num_waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert engine.stats.num_used_blocks == 0
        assert engine.num_requests == 0
        assert (engine.num_restarts, engine.process_id) == (0, child)
        for ours_or_its in zip(*sizes, strict=True):
            quarter = len(ours_or_its) // 4
            growth = median(ours_or_its[-quarter:]) - median(ours_or_its[quarter : 2 * quarter])
            assert growth < MOST_GROWTH_BYTES, f"{growth / 1e6:.1f} MB, after {[size // 1000 for size in ours_or_its]}"
    finally:
        await engine.close()


async def ask(engine: EngineProcess, number: int) -> None:
    """One request: most are answered, some refused, some given up."""
    dice = random.Random(number)
    prompt = [dice.randrange(97) for _ in range(dice.randint(1, 60))]
    params = SamplingParams(
        temperature=dice.choice([0.0, 1.0]),
        top_p=dice.choice([1.0, 0.9]),
        max_tokens=dice.randint(1, 8),
        repetition_penalty=dice.choice([1.0, 1.2]),
        n=dice.choice([1, 1, 1, 2]),
        logprobs=dice.choice([None, None, 3]),
        prompt_logprobs=dice.choice([None, None, None, 1]),
        stop_ids=(dice.randrange(97),),
    )
    if number % 20 == 0:
        prompt = dice.choice([[], [97], [1] * 300])
        with pytest.raises(InputError):
            await anext(engine.generate(prompt, params))
        return
    answer = engine.generate(
        prompt, params, tenant=f"tenant {number % 700}", priority=dice.choice(["interactive", "batch"])
    )
    async with aclosing(answer):
        num_finished = 0
        async for output in answer:
            num_finished += output.finish_reason is not None
            if number % 7 == 0:
                return
        assert num_finished == params.n


def resident_bytes(process: str) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
