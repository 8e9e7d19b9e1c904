"""A pool of worker processes for tasks whose results go to disk; with one worker, the work is done in this process.

A worker is given tasks through a pipe and tells through it how far it is. When the parent dies, by whatever signal, the
pipe ends and so does the worker. When a worker dies, the error names the place it was at.
"""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from bise.errors import BiseError, UnavailableError
from bise.memory import keep_freed_memory

Task = TypeVar("Task")
# Work done in this task so far, in the unit of its weight; bytes of text among it, 0 if not counted; the place reached.
Tell = Callable[[int, int, str], None]
Advance = Callable[[int, int], None]  # work and bytes of text done in all tasks so far


@dataclass
class _Worker(Generic[Task]):
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    done: int = 0
    text_bytes: int = 0  # of this task
    place: str = "its start"


def run_tasks(
    tasks: Sequence[Task],
    make: Callable[[], Callable[[Task, Tell], None]],
    num_workers: int,
    advance: Advance,
    weigh: Callable[[Task], int],
) -> None:
    """Do all tasks; `make` is called once in each worker and returns what is done with a task.

    With several workers, `make` and the tasks are sent to processes that start afresh, so they must be picklable.

    Raises:
        BiseError, OSError: what a task raised.
        UnavailableError: a worker died; the message names the place in its task.
    """
    heaviest_first = sorted(tasks, key=weigh, reverse=True)
    if num_workers == 1 or len(tasks) < 2:
        _run_here(heaviest_first, make, advance, weigh)
        return
    context = multiprocessing.get_context("spawn")
    workers = []
    try:
        for _ in range(min(num_workers, len(tasks))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make), daemon=True)
            process.start()
            theirs.close()
            workers.append(_Worker[Task](process, ours))
        _hand_out(heaviest_first, workers, advance, weigh)
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
            worker.process.join()


def _run_here(
    tasks: Sequence[Task],
    make: Callable[[], Callable[[Task, Tell], None]],
    advance: Advance,
    weigh: Callable[[Task], int],
) -> None:
    work, finished, text_finished = make(), 0, 0
    for task in tasks:
        text_bytes = 0

        def tell(done: int, text: int, place: str) -> None:
            nonlocal text_bytes
            del place
            text_bytes = text
            advance(finished + done, text_finished + text)  # noqa: B023 - called within this turn only

        work(task, tell)
        finished, text_finished = finished + weigh(task), text_finished + text_bytes
        advance(finished, text_finished)


def _hand_out(tasks: list[Task], workers: list[_Worker[Task]], advance: Advance, weigh: Callable[[Task], int]) -> None:
    waiting, finished, text_finished = list(reversed(tasks)), 0, 0
    for worker in workers:
        _give(worker, waiting)
    while busy := [worker for worker in workers if worker.task is not None]:
        for connection in wait([worker.connection for worker in busy]):
            worker = next(worker for worker in busy if worker.connection is connection)
            assert worker.task is not None
            if _hear(worker):
                finished += weigh(worker.task)
                text_finished += worker.text_bytes
                _give(worker, waiting)
        text_bytes = text_finished + sum(worker.text_bytes for worker in workers)
        advance(finished + sum(worker.done for worker in workers), text_bytes)


def _give(worker: _Worker[Task], waiting: list[Task]) -> None:
    worker.task = waiting.pop() if waiting else None
    worker.done, worker.text_bytes, worker.place = 0, 0, "its start"
    if worker.task is not None:
        try:
            worker.connection.send(worker.task)
        except (BrokenPipeError, ConnectionResetError):
            raise _death(worker) from None


def _hear(worker: _Worker[Task]) -> bool:
    """Take one message of a worker; whether its task is finished."""
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        raise _death(worker) from None
    if isinstance(message, BiseError | OSError):
        raise message
    if message is None:
        return True
    worker.done, worker.text_bytes, worker.place = message
    return False


def _death(worker: _Worker[Task]) -> UnavailableError:
    worker.process.join()
    return UnavailableError(
        f"A worker process ended with status {worker.process.exitcode} while working on {worker.task}, having reached "
        f"{worker.place}. If it was killed for want of memory, set a smaller number of workers. Run the command again: "
        "what was finished is kept."
    )


def _serve(connection: Connection, make: Callable[[], Callable[[Task, Tell], None]]) -> None:
    """A worker's life. An error that is a mistake of ours ends it with a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    keep_freed_memory()
    try:
        work = make()
        while True:
            work(connection.recv(), lambda *standing: connection.send(standing))
            connection.send(None)
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
    except (BiseError, OSError) as error:
        connection.send(error)
