"""llama.cpp's side of `engine_vs_llamacpp.py`, in the peers' environment: `python llamacpp_side.py FILE.gguf THREADS`.

Each workload gets a context of its own. Flash attention, the size of micro-batches and one cache for all sequences or
one each are tried first, and the fastest combination is what the rounds then measure.
"""

import ctypes
import itertools
import sys
from typing import Any

import llama_cpp
import numpy as np
from orders import answer_orders, timed

MARGIN = 256  # tokens that a sequence may grow beyond its context
CHUNK = 512
TRIAL_CONTEXT = 16


class Workload:
    """A context with every sequence filled to the same length."""

    def __init__(self, model: Any, threads: int, shape: dict[str, int], settings: dict[str, Any]) -> None:
        self.shape = shape
        self.settings = settings
        length = shape["context"] + shape["prompt"] + MARGIN
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = length * shape["sequences"]
        params.n_batch, params.n_ubatch = CHUNK, settings["micro_batch"]
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = shape["sequences"]
        params.flash_attn_type = int(settings["flash_attention"])
        params.kv_unified = settings["one_cache"]
        self.context = llama_cpp.llama_init_from_model(model, params)
        assert self.context, f"llama.cpp refused {shape} {settings}"
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.ids = np.random.default_rng(0).integers(1000, 30_000, length).tolist()
        for sequence, start in itertools.product(range(shape["sequences"]), range(0, shape["context"], CHUNK)):
            places = range(start, min(start + CHUNK, shape["context"]))
            self.decode([self.ids[p] for p in places], list(places), [sequence] * len(places), [False] * len(places))

    def run(self, steps: int) -> float:
        """Seconds of some steps; the cache is then as before."""
        sequences, start, prompt = range(self.shape["sequences"]), self.shape["context"], self.shape["prompt"]
        for sequence in sequences:
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, start, -1)
        if prompt:
            places = list(range(prompt))
            whole = [False] * (prompt - 1) + [True]
            seconds: float = timed(lambda: self.decode(self.ids[:prompt], places, [0] * prompt, whole))
            return seconds
        count = len(sequences)

        def decode_steps() -> None:
            for step in range(steps):
                self.decode([self.ids[step]] * count, [start + step] * count, list(sequences), [True] * count)

        seconds_of_steps: float = timed(decode_steps)
        return seconds_of_steps

    def decode(self, ids: list[int], places: list[int], sequences: list[int], wanted: list[bool]) -> None:
        """One call with these tokens, finished when it returns."""
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for row, (token, place, sequence, logits) in enumerate(zip(ids, places, sequences, wanted, strict=True)):
            batch.token[row], batch.pos[row], batch.logits[row] = token, place, logits
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
        status = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_batch_free(batch)
        assert status == 0, f"llama_decode: {status}"

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_free(self.context)


class Llama:
    """The functions that orders name."""

    def __init__(self, path: str, threads: int) -> None:
        self.threads = threads
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), params)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.workload: Workload | None = None

    def prepare(self, shape: dict[str, int]) -> dict[str, Any]:
        """Find the fastest settings for a workload and keep its context."""
        best: tuple[float, dict[str, Any]] | None = None
        trial = shape | {"context": TRIAL_CONTEXT} if shape["sequences"] > 1 else shape  # filling 16 takes long
        sizes = (128, CHUNK) if shape["prompt"] else (CHUNK,)
        shared = (True, False) if shape["sequences"] > 1 else (True,)
        for flash, micro_batch, one_cache in itertools.product((False, True), sizes, shared):
            settings = {"flash_attention": flash, "micro_batch": micro_batch, "one_cache": one_cache}
            self._open(trial, settings).run(2)
            seconds = min(self._open(trial, settings).run(4) for _ in range(2))
            if best is None or seconds < best[0]:
                best = seconds, settings
        assert best is not None
        self._open(shape, best[1]).run(2)
        return {"settings": best[1]}

    def measure(self, steps: int) -> dict[str, Any]:
        """Seconds of one block of steps of the prepared workload."""
        assert self.workload is not None
        return {"seconds": self.workload.run(steps)}

    def logits(self, ids: list[int]) -> dict[str, Any]:
        """The logits after a prompt."""
        shape = {"sequences": 1, "context": 0, "prompt": len(ids)}
        workload = self._open(shape, {"flash_attention": True, "micro_batch": CHUNK, "one_cache": True})
        workload.decode(ids, list(range(len(ids))), [0] * len(ids), [False] * (len(ids) - 1) + [True])
        pointer = llama_cpp.llama_get_logits_ith(workload.context, len(ids) - 1)
        return {"logits": np.ctypeslib.as_array(pointer, (self.vocab_size,)).tolist()}

    def versions(self) -> dict[str, Any]:
        """What this side is."""
        features = llama_cpp.llama_print_system_info().decode()
        return {"versions": {"llama-cpp-python": llama_cpp.__version__, "llama.cpp": features.strip()}}

    def _open(self, shape: dict[str, int], settings: dict[str, Any]) -> Workload:
        if self.workload is not None and (self.workload.shape, self.workload.settings) == (shape, settings):
            return self.workload
        if self.workload is not None:
            self.workload.close()
        self.workload = Workload(self.model, self.threads, shape, settings)
        return self.workload


def main() -> None:
    """Load the model and answer orders."""
    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # its log would drown the benchmark's words
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    llama = Llama(sys.argv[1], int(sys.argv[2]))
    answer_orders(
        {"prepare": llama.prepare, "measure": llama.measure, "logits": llama.logits, "versions": llama.versions}
    )


if __name__ == "__main__":
    main()
