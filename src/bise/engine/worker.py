"""The engine's child process, `python -m bise.engine.worker`, started by `process.py`; `protocol.py` has its messages.

It ends as soon as its parent does, because then nobody is left to answer.
"""

import faulthandler
import os
import sys
import time
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, BinaryIO

from bise.engine.arrivals import Arrivals, Compiled, Loaded
from bise.engine.core import Engine
from bise.engine.forward import Model, can_fuse
from bise.engine.kernels.table import choose_kernels
from bise.engine.protocol import (
    VERSION,
    Add,
    Cancel,
    DropAdapter,
    Failed,
    Hello,
    Outputs,
    Progress,
    Ready,
    Refused,
    Start,
    Stats,
    ToEngine,
    ToServer,
    check_version,
    encode,
    error_kind,
    read_to_engine,
)
from bise.engine.requests import Constraint, Grammar, Request
from bise.errors import BiseError
from bise.lifetime import die_with
from bise.weights.adapters import open_adapter
from bise.weights.files import Weights, open_weights

if TYPE_CHECKING:
    from bise.engine.grammar import Grammars

STATS_EVERY_S = 1.0
Inbox = SimpleQueue[ToEngine | Loaded | Compiled]


class Channel:
    """The pipe to the parent."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, message: ToServer) -> None:
        """Write one message at once; the process ends when nobody reads it."""
        try:
            self._stream.write(encode(message))
            self._stream.flush()
        except BrokenPipeError:
            os._exit(0)


class Reporter:
    """Sends the engine's figures now and then, so that the parent has them without asking."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sent_at = 0.0

    def report(self, engine: Engine) -> None:
        """Report if it is time or the last request has ended."""
        if engine.is_idle or time.monotonic() - self._sent_at >= STATS_EVERY_S:
            self._sent_at = time.monotonic()
            self._channel.send(Stats(engine.stats(), engine.waiting()))


def main() -> None:
    """Load the model that the parent names, say so, and answer until the parent goes."""
    faulthandler.enable()  # a crash in compiled code says where on stderr
    channel = Channel(_take_stdout())
    inbox: Inbox = SimpleQueue()
    Thread(target=_read_messages, args=(inbox,), daemon=True).start()
    channel.send(Hello(VERSION))
    start = inbox.get()
    assert isinstance(start, Start), start
    die_with(start.parent_id)
    try:
        check_version(start.version)
        engine = _load(start, channel)
    except BiseError as error:
        channel.send(Failed(error_kind(error), str(error)))
        return
    reporter = Reporter(channel)
    arrivals = _await_requests(engine, inbox, channel, Path(start.directory))
    while True:
        _receive(engine, inbox, arrivals, reporter)
        outputs = engine.step()
        if outputs:
            channel.send(Outputs(tuple(outputs)))
        reporter.report(engine)


def _load(start: Start, channel: Channel) -> Engine:
    weights = open_weights(Path(start.directory))  # before the kernels, so that a wrong file is told at once
    config = start.config
    draft = open_weights(Path(config.draft)) if config.draft is not None else None
    choice = choose_kernels(
        lambda kernel, done, total: channel.send(Progress(kernel, done, total)),
        config.instruction_set,
        operations=config.activations != "int8" or not all(can_fuse(w.spec) for w in (weights, draft) if w is not None),
    )

    def ready(source: Weights) -> Model:
        return Model(source, choice.kernels, config.num_threads, config.activations)

    engine = Engine(ready(weights), config, ready(draft) if draft is not None else None)
    channel.send(Ready(engine.max_length, choice.kernels.name, choice.reason))
    return engine


def _await_requests(engine: Engine, inbox: "Inbox", channel: Channel, directory: Path) -> Arrivals:
    @cache
    def grammars() -> "Grammars":
        from bise.engine.grammar import Grammars  # only who needs it pays for it, and for the vocabulary
        from bise.tokenizer.chat import ChatTokenizer

        return Grammars(ChatTokenizer.load(directory), engine.model.spec.vocab_size)

    loading = Lock()

    def compile_grammar(grammar: Grammar) -> Constraint:
        with loading:
            ready = grammars()
        return ready.matcher(grammar)

    def refuse(request: Request, error: BiseError) -> None:
        channel.send(Refused(request.request_id, error_kind(error), str(error)))

    return Arrivals(
        engine,
        lambda ref: engine.model.pack_adapter(open_adapter(Path(ref.directory), engine.model.spec)),
        compile_grammar,
        inbox.put,
        refuse,
    )


def _receive(engine: Engine, inbox: "Inbox", arrivals: Arrivals, reporter: Reporter) -> None:
    """Take in every message that has come; wait for one when there is nothing else to do."""
    arrivals.advance()
    while engine.is_idle or not inbox.empty():
        match inbox.get():
            case Cancel(request_id, index):
                arrivals.cancel(request_id, index)
                reporter.report(engine)  # it may be idle now, without another step
            case Add(request):
                arrivals.add(request)
            case DropAdapter(key):
                engine.adapters.drop(key)
            case Loaded() as loaded:
                arrivals.take(loaded)
            case Compiled() as compiled:
                arrivals.take_grammar(compiled)
            case Start() as start:
                raise AssertionError(start)


def _read_messages(inbox: "Inbox") -> None:
    try:
        with os.fdopen(os.dup(0), "rb") as stream:  # not sys.stdin, which an exiting interpreter waits for
            for line in stream:
                inbox.put(read_to_engine(line))
    except BiseError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(1)
    os._exit(0)  # the parent has gone or closed us; there is nothing to save, and a step may be running


def _take_stdout() -> BinaryIO:
    """Keep stdout for messages only: what a library prints goes to stderr."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


if __name__ == "__main__":
    main()
