"""How fast are the integer products, on one thread? `python benchmarks/kernels.py [--json] [--runs 9]`.

For each instruction set that this processor has, for weights of 4 and 8 bits and for several numbers of tokens: bytes of
weights read in a second and operations (a product and its addition are two) in a second, of the thread's own time. The
matrices are 5632 x 2048 and together far larger than any cache. Beside them stand the memory's bandwidth and the
processor's arithmetic peak, measured in the same run. Medians with the lowest and highest, and the machine's load.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.instructions import InstructionSet, available
from bise.engine.kernels.linear import load_multiply
from bise.engine.kernels.packing import BLOCK_BYTES, num_tiles, tile_bytes
from bise.engine.kernels.table import TILE
from bise.engine.machine import describe_machine
from bise.engine.peaks import integer_peak, read_bandwidth

ROWS, COLUMNS = 5632, 2048
WEIGHTS_BYTES = 200 << 20
TOKENS = (1, 2, 4, 6, 8, 12, 16, 32, 128, 512)


def main() -> None:
    """Measure every kernel, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--sets", nargs="*", default=available(), help="instruction sets, all by default")
    options = parser.parse_args()
    load_before = round(os.getloadavg()[0], 2)
    figures: dict[str, object] = {"processor": describe_machine().processor, "load_before": load_before}
    figures["read_gb_s"] = spread(read_bandwidth(1, options.runs))
    for name in options.sets:
        figures[f"peak_gops_{name}"] = spread(integer_peak(InstructionSet(name), 1, options.runs))
    show(figures, options.json)
    for name in options.sets:
        for bits in (4, 8):
            for figure in measure(name, bits, options.runs):
                figures[f"{name}_int{bits}_{figure.pop('tokens')}"] = figure
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for key, found in figures.items():
        if isinstance(found, dict) and "gb_s" in found:
            speed, reading = found["gops"], found["gb_s"]
            print(f"{key:20} {show_spread(speed)} GOPS   {show_spread(reading)} GB/s")


def measure(name: str, bits: int, runs: int) -> Iterator[dict[str, Any]]:
    """Both speeds of one kind of kernel for each number of tokens."""
    multiply, instruction_set = load_multiply(name), InstructionSet(name)
    matrices = random_matrices(bits)
    size, tiles = matrices[0].nbytes, len(matrices[0])
    for tokens in TOKENS:
        x, scales, offsets, y = random_activations(tokens)
        seconds = []
        for run in range(runs + 1):
            packed = matrices[run % len(matrices)]
            started = time.thread_time()
            multiply(instruction_set, bits, packed, COLUMNS, x, scales, offsets, 0, tiles, y)
            seconds.append(time.thread_time() - started)
        seconds = seconds[1:]
        operations = 2 * ROWS * COLUMNS * tokens
        yield {
            "tokens": tokens,
            "gb_s": spread([size / each for each in seconds]),
            "gops": spread([operations / each for each in seconds]),
        }


def random_matrices(bits: int) -> list[NDArray[np.uint8]]:
    """Packed matrices with random integers and scales of 0.01."""
    random = np.random.default_rng(0)
    tiles, size = num_tiles(ROWS), tile_bytes(COLUMNS, bits)
    matrices = []
    for _ in range(-(-WEIGHTS_BYTES // (tiles * size))):
        packed = random.integers(0, 256, (tiles, size), dtype=np.uint8)
        packed.reshape(tiles, -1, BLOCK_BYTES[bits])[:, :, :64] = np.full(32, 0.01, np.float16).view(np.uint8)
        matrices.append(packed)
    return matrices


def random_activations(tokens: int) -> tuple[Any, Any, Any, Any]:
    """Integers, scales and offsets of so many tokens, and room for the products."""
    groups = COLUMNS // 32
    x = np.random.default_rng(0).integers(-127, 128, (groups, tokens, 32)).astype(np.int8)
    offsets = -8 * x.sum(axis=2, dtype=np.int32)
    y = np.empty((tokens, num_tiles(ROWS) * TILE), np.float32)
    return x, np.full((groups, tokens), 0.01, np.float32), offsets, y


def spread(values: list[float]) -> dict[str, float]:
    """Median and range, in thousands of millions."""
    billions = [value / 1e9 for value in values]
    return {
        "median": round(statistics.median(billions), 1),
        "min": round(min(billions), 1),
        "max": round(max(billions), 1),
        "n": len(billions),
    }


def show(figures: dict[str, object], as_json: bool) -> None:
    """Print what is known of the machine, unless everything will be printed as JSON."""
    for key, found in figures.items() if not as_json else ():
        print(f"{key:20} {show_spread(found) if isinstance(found, dict) else found}")


def show_spread(figure: dict[str, float]) -> str:
    """Median and range in columns."""
    return f"{figure['median']:7.1f} ({figure['min']:.1f} to {figure['max']:.1f})"


if __name__ == "__main__":
    main()
