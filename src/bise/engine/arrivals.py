"""Requests on their way into the engine: those with a grammar wait until it is compiled, and those with an adapter until
it is in memory.

A thread reads adapters, one after the other, so that running answers go on meanwhile. When those in use leave no room
for one that has been read, all later requests with adapters wait behind it: so users end, and room comes.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bise.engine.batch import PackedAdapter
from bise.engine.core import Engine
from bise.engine.requests import AdapterRef, Constraint, Grammar, Request
from bise.errors import BiseError


@dataclass(frozen=True)
class Loaded:
    """An adapter has been read, or could not be."""

    key: str
    packed: Future[PackedAdapter]  # done


@dataclass(frozen=True)
class Compiled:
    """The grammar of a request has been compiled, or could not be."""

    request: Request
    constraint: Future[Constraint]  # done


class Arrivals:
    """Where requests enter an engine; not thread-safe, but for `tell`, which the loading thread calls."""

    def __init__(
        self,
        engine: Engine,
        load: Callable[[AdapterRef], PackedAdapter],
        compile_grammar: Callable[[Grammar], Constraint],
        tell: Callable[[Loaded | Compiled], None],
        refuse: Callable[[Request, BiseError], None],
    ) -> None:
        self._engine = engine
        self._load = load
        self._compile = compile_grammar
        self._tell = tell
        self._refuse = refuse
        self._waiting: list[Request] = []  # with adapters, in order of arrival
        self._loading: str | None = None  # the key of what is being read, or waits for room
        self._loaded: Loaded | None = None  # waits for room
        self._constraints: dict[str, Constraint | None] = {}  # by request; None while its grammar is compiled
        self._thread = ThreadPoolExecutor(1, "bise-adapters")
        self._compilers = ThreadPoolExecutor(2, "bise-grammars")  # a large grammar does not hold up a small one

    def add(self, request: Request) -> None:
        """Take a request in, at once or when all it needs is there; it is refused when it cannot be answered."""
        if request.grammar is None:
            self._continue(request)
            return
        self._constraints[request.request_id] = None
        compiled = self._compilers.submit(self._compile, request.grammar)
        compiled.add_done_callback(lambda constraint: self._tell(Compiled(request, constraint)))

    def take_grammar(self, compiled: Compiled) -> None:
        """Let a request go on whose grammar has been compiled."""
        request = compiled.request
        if request.request_id not in self._constraints:
            return  # cancelled
        try:
            self._constraints[request.request_id] = compiled.constraint.result()
        except BiseError as error:
            del self._constraints[request.request_id]
            self._refuse(request, error)
        else:
            self._continue(request)

    def _continue(self, request: Request) -> None:
        if request.adapter is None:
            self._enter(request)
            return
        self._waiting.append(request)
        self.advance()

    def cancel(self, request_id: str, index: int | None = None) -> None:
        """Forget a request, wherever it is, or one of its answers, which has begun."""
        if index is None:
            self._waiting = [request for request in self._waiting if request.request_id != request_id]
            self._constraints.pop(request_id, None)
        self._engine.cancel(request_id, index)
        self.advance()  # it may have made room

    def take(self, loaded: Loaded) -> None:
        """Use what has been read."""
        self._loaded = loaded
        self.advance()

    def advance(self) -> None:
        """Let requests in whose adapters are there, and have the next adapter read; cheap when none waits."""
        if self._loaded is not None and not self._place(self._loaded):
            return
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            assert request.adapter is not None
            if request.adapter.key in self._engine.adapters:
                self._enter(request)
            else:
                self._waiting.append(request)
        if self._waiting and self._loading is None:
            self._read(self._waiting[0].adapter)

    def _read(self, ref: AdapterRef | None) -> None:
        assert ref is not None
        self._loading = ref.key
        self._thread.submit(self._load, ref).add_done_callback(lambda packed: self._tell(Loaded(ref.key, packed)))

    def _place(self, loaded: Loaded) -> bool:
        """Take what was read into memory, or refuse those who wait for it; False when there is no room yet."""
        try:
            if not self._engine.adapters.add(loaded.key, loaded.packed.result()):
                return False
        except BiseError as error:
            waiting, self._waiting = self._waiting, []
            for request in waiting:
                assert request.adapter is not None
                if request.adapter.key == loaded.key:
                    self._constraints.pop(request.request_id, None)
                    self._refuse(request, error)
                else:
                    self._waiting.append(request)
        self._loading = self._loaded = None
        return True

    def _enter(self, request: Request) -> None:
        try:
            self._engine.add_request(request, self._constraints.pop(request.request_id, None))
        except BiseError as error:
            self._refuse(request, error)
