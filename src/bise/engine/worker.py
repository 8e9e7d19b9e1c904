"""The engine's child process: `python -m bise.engine.worker MODEL_DIRECTORY CONFIG_JSON`, started by `process.py`.

Messages are JSON objects, one a line: requests on stdin, outputs on stdout. The process ends as soon as stdin does,
because then nobody is left to answer.

    in    {"type": "add", "id", "prompt_ids", "params"}      {"type": "cancel", "id"}
    out   {"type": "progress", "kernel", "done", "total"}    {"type": "ready", "max_length", "seconds", "kernels", "reason"}
          {"type": "failed", "kind", "message"}              could not start
          {"type": "outputs", "outputs": [[id, token_ids, finish_reason], …]}
          {"type": "refused", "id", "kind", "message"}       one request was wrong
"""

import json
import os
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.sampling import SamplingParams
from bise.errors import BiseError
from bise.weights.files import open_weights

Message = dict[str, Any]


class Channel:
    """The pipe to the parent."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, message: Message) -> None:
        """Write one message at once; the process ends when nobody reads it."""
        try:
            self._stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            os._exit(0)


def main() -> None:
    """Load the model, say so, and answer until stdin ends."""
    channel = Channel(_take_stdout())
    inbox: SimpleQueue[Message] = SimpleQueue()
    Thread(target=_read_messages, args=(inbox,), daemon=True).start()
    try:
        engine = _start(Path(sys.argv[1]), EngineConfig(**json.loads(sys.argv[2])), channel)
    except BiseError as error:
        channel.send({"type": "failed", "kind": type(error).__name__, "message": str(error)})
        return
    while True:
        _receive(engine, inbox, channel)
        outputs = engine.step()
        if outputs:
            rows = [(o.request_id, o.token_ids, o.finish_reason) for o in outputs]
            channel.send({"type": "outputs", "outputs": rows})


def _start(directory: Path, config: EngineConfig, channel: Channel) -> Engine:
    started = time.monotonic()
    weights = open_weights(directory)  # before the kernels, so that a wrong file is told at once
    choice = choose_kernels(
        lambda kernel, done, total: channel.send({"type": "progress", "kernel": kernel, "done": done, "total": total})
    )
    engine = Engine(Model(weights, choice.kernels), config)
    seconds = round(time.monotonic() - started, 3)
    kernels = {"kernels": choice.kernels.name, "reason": choice.reason}
    channel.send({"type": "ready", "max_length": engine.max_length, "seconds": seconds, **kernels})
    return engine


def _receive(engine: Engine, inbox: "SimpleQueue[Message]", channel: Channel) -> None:
    """Take in every message that has come; wait for one when there is nothing else to do."""
    while engine.is_idle or not inbox.empty():
        message = inbox.get()
        if message["type"] == "cancel":
            engine.cancel(message["id"])
            continue
        assert message["type"] == "add", message
        params = dict(message["params"])
        params["stop_ids"] = tuple(params["stop_ids"])
        params["logit_bias"] = tuple((token, bias) for token, bias in params["logit_bias"])
        try:
            engine.add_request(Request(message["id"], message["prompt_ids"], SamplingParams(**params)))
        except BiseError as error:
            refusal = {"type": "refused", "id": message["id"], "kind": type(error).__name__, "message": str(error)}
            channel.send(refusal)


def _read_messages(inbox: "SimpleQueue[Message]") -> None:
    with os.fdopen(os.dup(0), "rb") as stream:  # not sys.stdin, which an exiting interpreter waits for
        for line in stream:
            inbox.put(json.loads(line))
    os._exit(0)  # the parent has gone or closed us; there is nothing to save, and a step may be running


def _take_stdout() -> BinaryIO:
    """Keep stdout for messages only: what a library prints goes to stderr."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


if __name__ == "__main__":
    main()
