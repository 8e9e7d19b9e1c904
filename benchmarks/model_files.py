"""Model files: `python benchmarks/model_files.py [--json] [--rounds 5] [--files DIRECTORY]`.

    convert_mb_per_s         a model of bfloat16 to 4 bits by plain rounding, megabytes of source a second of wall time
    convert_share_of_copy    convert_mb_per_s over copy_mb_per_s, the rate at which the same file is copied on this disk
    searched_mb_per_s        the same to 4 bits with searched scales
    searched_mb_per_core_s   by processor time: what one core does
    load_to_first_token_s    1.1 billion parameters in 4 bits: from starting the engine's process to the first token of an
                             answer to 16 tokens, warm: compiled kernels and packed matrices are kept from an earlier start
    load_first_s             the same when nothing is packed yet

Weights are random: speed does not depend on them. Medians (10 % to 90 %) of rounds.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import load_average, load_before, machine_facts, spread
from benchmarks.random_model import ONE_BILLION, SMALL
from bise.config import cache_home
from bise.engine.packed import cache_path
from bise.engine.process import EngineProcess
from bise.engine.sampling import SamplingParams
from bise.weights.files import WEIGHTS_FILE, expected_tensors, open_weights
from bise.weights.quantise import SEARCHED, Scales, convert
from bise.weights.spec import ModelSpec, Quantisation, write_spec
from bise.weights.tensor_file import Layout, write_parts
from bise.weights.tensors import row_parts

CONVERTED = replace(ONE_BILLION, num_layers=6)  # 0.4 billion parameters: more than a cache holds, less than a minute


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks" / "model_files")
    parser.add_argument("--small", action="store_true", help="small models, to try the benchmark itself")
    options = parser.parse_args()
    report = {"load_before": load_before(), **measure_files(options.files, options.rounds, options.small)}
    report |= {"load_after": load_average(), "machine": machine_facts()}
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:24} {v}" for k, v in report.items()))


def measure_files(directory: Path, rounds: int, small: bool = False) -> dict[str, Any]:
    """All figures; the models are made below `directory` and deleted again."""
    try:
        report = measure_conversion(directory, SMALL if small else CONVERTED, rounds)
        return report | measure_load(directory, SMALL if small else ONE_BILLION, rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure_conversion(directory: Path, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Rounding and copying in turns."""
    source = write_random(directory / "bfloat16", spec)
    megabytes = (source / WEIGHTS_FILE).stat().st_size / 1e6
    rates: dict[str, list[float]] = {"convert": [], "searched": [], "searched_mb_per_core_s": [], "copy": []}
    for turn in range(rounds + 1):
        for kind, scales in (("convert", Scales(are_searched=False)), ("searched", SEARCHED)):
            shutil.rmtree(directory / "int4", ignore_errors=True)
            wall, processor = time.monotonic(), time.process_time()
            convert(open_weights(source), directory / "int4", "4", scales=scales)
            rates[kind].append(megabytes / (time.monotonic() - wall))
            if kind == "searched":
                rates["searched_mb_per_core_s"].append(megabytes / (time.process_time() - processor))
        wall = time.monotonic()
        _copy(source / WEIGHTS_FILE, directory / "copy")
        rates["copy"].append(megabytes / (time.monotonic() - wall))
        if turn == 0:  # kernels are compiled, and the source is read into memory
            rates = {name: [] for name in rates}
    found = {name if name.endswith("_s") else f"{name}_mb_per_s": spread(values, 1) for name, values in rates.items()}
    share = found["convert_mb_per_s"]["median"] / found["copy_mb_per_s"]["median"]
    return {"convert_share_of_copy": round(share, 3), "source_mb": round(megabytes, 1), **found}


def measure_load(directory: Path, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Start the engine again and again."""
    model = write_random(directory / "four", replace(spec, quantisation=Quantisation(4, 32)))
    packed = cache_path(open_weights(model)).parent
    asyncio.run(_seconds_to_first_token(model))  # compiles the kernels where they are not yet
    shutil.rmtree(packed, ignore_errors=True)
    first = asyncio.run(_seconds_to_first_token(model))
    warm = [asyncio.run(_seconds_to_first_token(model)) for _ in range(rounds)]
    shutil.rmtree(packed, ignore_errors=True)
    return {"load_to_first_token_s": spread(warm), "load_first_s": round(first, 2)}


async def _seconds_to_first_token(model: Path) -> float:
    started = time.monotonic()
    engine = await EngineProcess.start(model)
    try:
        async for _ in engine.generate(list(range(300, 316)), SamplingParams(max_tokens=1, temperature=0)):
            return time.monotonic() - started
        raise AssertionError("no token came")
    finally:
        await engine.close()


def write_random(directory: Path, spec: ModelSpec) -> Path:
    """A model with random weights, bfloat16 or integers as its spec says."""
    directory.mkdir(parents=True, exist_ok=True)
    write_spec(directory, spec)
    layout = {
        name: ("BF16" if "BF16" in dtypes else dtypes[0], shape)
        for name, (shape, dtypes) in expected_tensors(spec, directory / WEIGHTS_FILE).items()
    }
    write_parts(directory / WEIGHTS_FILE, layout, random_parts(layout))
    return directory


def random_parts(layout: Layout) -> Iterator[NDArray[Any]]:
    """Bytes of any value but for floats, which are numbers of usual size."""
    random = np.random.default_rng(0)
    for dtype, shape in layout.values():
        for rows in row_parts(shape):
            part = (rows.stop - rows.start, *shape[1:])
            if dtype == "BF16":  # sign, exponents of 2^-7 to 2^-4, any fraction
                yield (random.integers(0, 1 << 9, part, np.uint16) | np.uint16(0x3C00)) ^ random.integers(
                    0, 2, part, np.uint16
                ) << np.uint16(15)
            elif dtype == "F16":
                yield np.full(part, 0.002, np.float16)
            elif dtype == "I8":
                yield random.integers(-127, 128, part, np.int8)
            else:
                yield random.integers(0, 256, part, np.uint8)


def _copy(source: Path, target: Path) -> None:
    """Through memory, as every program that changes the bytes has to."""
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 16 << 20)


if __name__ == "__main__":
    main()
