"""The child's half of `alternating.py`: answer orders from stdin until it closes. Plain Python, for both environments."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def answer_orders(functions: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Call the function that each order names under `do` with the order's other fields; libraries print to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    used = time.process_time()
    for line in sys.stdin:
        order = json.loads(line)
        idle = time.process_time() - used
        answer = functions[order.pop("do")](**order)
        answers.write(json.dumps({**answer, "idle_cpu_s": idle}) + "\n")
        answers.flush()
        used = time.process_time()


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
