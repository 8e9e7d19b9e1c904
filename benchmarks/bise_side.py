"""Bise's side of the engine benchmarks: `python bise_side.py MODEL_DIRECTORY THREADS`, one process, orders on stdin."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from orders import answer_orders, timed

from bise.engine.core import Engine, EngineConfig
from bise.engine.forward import Batch, Model
from bise.engine.kernels.table import BLOCK, choose_kernels
from bise.engine.peaks import read_bandwidth
from bise.engine.requests import Request
from bise.engine.sampling import SamplingParams
from bise.weights.files import open_weights

MARGIN = 256  # tokens that a sequence may grow beyond its context


class Bise:
    """The functions that orders name."""

    def __init__(self, directory: Path, threads: int) -> None:
        self.threads = threads
        choice = choose_kernels()
        self.kernels = choice.kernels.name
        model = Model(open_weights(directory), choice.kernels, threads)
        self.engine = Engine(model, EngineConfig(cache_bytes=4 << 30, prefix_sharing=False, speculation=False))
        self.ids = np.random.default_rng(0).integers(1000, 30_000, model.spec.context_length).astype(np.int32)
        self.shape: dict[str, int] = {}

    def prepare(self, shape: dict[str, int]) -> dict[str, Any]:
        """Fill the cache for a workload."""
        self.shape = shape
        chunk = self.engine.config.step_tokens
        for sequence in range(shape["sequences"]):
            for start in range(0, shape["context"], chunk):
                self._run([sequence], start, min(chunk, shape["context"] - start))
        self._block(2)
        return {"settings": {"kernels": self.kernels}}

    def measure(self, steps: int) -> dict[str, Any]:
        """Seconds of one block of steps of the prepared workload."""
        return {"seconds": timed(lambda: self._block(steps))}

    def serve(self, prompts: list[list[int]], steps: int) -> dict[str, Any]:
        """Seconds until each prompt has its first token, and of the steps after that; planning and drawing included."""
        params = SamplingParams(temperature=0, max_tokens=MARGIN, ignore_eos=True)
        waiting = {str(index): Request(str(index), ids, params) for index, ids in enumerate(prompts)}
        for request in waiting.values():
            self.engine.add_request(request)
        seconds = {"prompt_s": timed(lambda: self._begin(set(waiting)))}
        seconds["steps_s"] = timed(lambda: [self.engine.step() for _ in range(steps)])
        for name in waiting:
            self.engine.cancel(name)
        return seconds

    def logits(self, ids: list[int]) -> dict[str, Any]:
        """The logits after a prompt."""
        self.ids[: len(ids)] = ids
        self.shape = {"sequences": 1, "context": 0, "prompt": len(ids)}
        return {"logits": self._run([0], 0, len(ids))[0].tolist()}

    def bandwidth(self) -> dict[str, Any]:
        """Bytes that this machine's memory delivers in a second, read by as many threads as the model uses."""
        return {"bytes_per_s": read_bandwidth(self.threads, passes=1)[0]}

    def _begin(self, waiting: set[str]) -> None:
        while waiting:
            waiting -= {output.request_id for output in self.engine.step()}

    def _block(self, steps: int) -> None:
        if self.shape["prompt"]:
            self._run([0], 0, self.shape["prompt"])
            return
        for step in range(steps):
            self._run(list(range(self.shape["sequences"])), self.shape["context"] + step, 1)

    def _run(self, sequences: list[int], start: int, count: int) -> Any:
        """One step with `count` tokens of each of these sequences from place `start`; logits of the last of each."""
        per_sequence = -(-(self.shape["context"] + self.shape["prompt"] + MARGIN) // BLOCK)
        blocks = np.arange(self.shape["sequences"] * per_sequence, dtype=np.int32).reshape(-1, per_sequence)
        rows = np.repeat(np.arange(len(sequences), dtype=np.int32), count)
        positions = np.tile(np.arange(start, start + count, dtype=np.int32), len(sequences))
        table = blocks[sequences]
        slots = table[rows, positions // BLOCK] * BLOCK + positions % BLOCK
        last = np.arange(count - 1, len(rows), count)
        batch = Batch(self.ids[positions], positions, rows, slots.astype(np.int32), table, last)
        return self.engine.model.forward(batch, self.engine.cache)


def main() -> None:
    """Load the model and answer orders."""
    bise = Bise(Path(sys.argv[1]), int(sys.argv[2]))
    orders = (bise.prepare, bise.measure, bise.serve, bise.logits, bise.bandwidth)
    answer_orders({order.__name__: order for order in orders})


if __name__ == "__main__":
    main()
