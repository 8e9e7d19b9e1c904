"""The child's half of training_vs_peers.py: a training loop that pauses between two steps until it is its turn.

A loop of another program cannot be asked for one step. It can be made to wait: what it calls once a step (its data, or a
callback) waits here for an order, and answers when the steps that were ordered are done. Plain Python, for both environments.
"""

import json
import os
import sys
import time

import numpy as np
import numpy.typing as npt


class Turns:
    """Orders from stdin, each `{"steps": n}`; answers with the time that they took. Libraries print to stderr."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps  # of the whole run; its last answer is `finish`'s
        self.done = 0
        self._left = 0
        self._took: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._idle_since = time.process_time()

    def step_begins(self) -> None:
        """To be called before each step's work."""
        if self._left == 0 and self.done < self.num_steps:
            if self.done:
                self.answer()
            self._wait()
        self.done += 1
        self._left -= 1

    def add(self, **amounts: float) -> None:
        """Add to what the next answer tells besides times."""
        for name, amount in amounts.items():
            self._sums[name] = self._sums.get(name, 0) + amount

    def answer(self, **facts: object) -> None:
        """Tell how long the steps took, and what else there is to tell."""
        self.stop()
        self._answers.write(json.dumps({**self._took, **self._sums, **facts, "idle_cpu_s": self._idle}) + "\n")
        self._answers.flush()
        self._took, self._sums = {}, {}
        self._idle_since = time.process_time()

    def stop(self) -> None:
        """Take the time, at the first call since an order."""
        if not self._took:
            cpu_s, wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall
            self._took = {"cpu_s": cpu_s, "wall_s": wall_s, "steps": self._steps}

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # nobody asks any more; the loop around knows no end
        self._idle = time.process_time() - self._idle_since
        self._left = self._steps = json.loads(line)["steps"]
        self._cpu, self._wall = time.process_time(), time.perf_counter()


def bits_per_byte(logits: object, held_out: "npt.NDArray[np.int64]", sizes: "npt.NDArray[np.int64]") -> float:
    """Of rows of ids [N, T + 1], each one document or its piece from its first token, -1 behind its end.

    Args:
        logits: gives the logits [B, T, V] of a batch of ids [B, T].
        held_out: the rows.
        sizes: bytes that each token spells, 0 for control tokens, which count in neither.
    """
    import torch

    nats = num_bytes = 0.0
    with torch.no_grad():
        for start in range(0, len(held_out), 8):
            ids = torch.from_numpy(held_out[start : start + 8])
            found = logits(ids[:, :-1].clamp(min=0)).float()  # type: ignore[operator]
            targets = ids[:, 1:].reshape(-1)
            losses = torch.nn.functional.cross_entropy(found.flatten(0, 1), targets, ignore_index=-1, reduction="none")
            spelled = torch.where(targets < 0, 0, torch.from_numpy(sizes)[targets.clamp(min=0)])
            nats += losses[spelled > 0].sum().item()
            num_bytes += spelled.sum().item()
    return round(nats / float(np.log(2)) / num_bytes, 4)
