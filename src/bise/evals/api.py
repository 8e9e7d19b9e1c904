"""The client of an evaluation: likelihoods of texts, completions and answers from any API in OpenAI's dialect.

Likelihoods are those of `POST /v1/completions` with `echo` and `logprobs`, on ids of the model's own vocabulary or from
`/tokenize`: Bise and vLLM have both. Several requests of several prompts are under way at once, which keeps a batching
engine full. What the scores follow is left out of the answer with `echo_from` where a server knows that, as Bise does.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from bise.errors import UnavailableError
from bise.evals.results import Usage
from bise.evals.target import Target

Progress = Callable[[int, int], None]  # done, of how many
Object = dict[str, Any]
Result = TypeVar("Result")
Ids = list[int]

_AT_ONCE = 4  # requests of many prompts, or chats times four
_PROMPTS_A_REQUEST = 16
_TIMEOUT_S = 600.0
_TRIES = 4
_WRONG = {400, 413, 422}
_BUSY = {429, 502, 503, 504}
_FIRST_WAIT_S = 1.0


class _RefusedError(UnavailableError):
    """The server understands, and will not do it."""


@dataclass(frozen=True)
class Likelihood:
    """How likely a model holds some tokens after others."""

    nats: float  # sum of log probabilities
    is_greedy: bool  # whether each of them was the likeliest
    num_tokens: int


class Api:
    """Asks a target; counts what it took. Its methods block until all is answered.

    Raises:
        UnavailableError: from all methods, when the server is gone, refuses, or lacks what is asked for.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._num_requests = 0
        self._num_prompt_tokens = 0
        self._num_completion_tokens = 0
        self._began = time.monotonic()

    def used(self) -> Usage:
        """What was asked since the last call."""
        now = time.monotonic()
        usage = Usage(
            round(now - self._began, 3), self._num_requests, self._num_prompt_tokens, self._num_completion_tokens
        )
        self._began, self._num_requests, self._num_prompt_tokens, self._num_completion_tokens = now, 0, 0, 0
        return usage

    def tokenize(self, texts: Sequence[str], progress: Progress | None = None) -> list[Ids]:
        """Ids of each text, without special tokens; equal texts are asked for once."""
        distinct = list(dict.fromkeys(texts))
        if (vocabulary := self.target.vocabulary) is not None:
            ids = {text: vocabulary.encode_raw(text) for text in distinct}
            return [ids[text] for text in texts]
        found = dict(zip(distinct, self._all(map(self._ids, distinct), 4 * _AT_ONCE, progress), strict=True))
        return [found[text] for text in texts]

    def special_beginning(self) -> Ids:
        """The token that texts begin with; nothing where a vocabulary has none."""
        if self.target.vocabulary is not None:
            return self.target.vocabulary.begin([])
        (begin,) = self._all([self._ids("", special=True)], 1)
        return begin[:1]

    def beginning(self) -> Ids:
        """What the first token of a text is judged after: the beginning, or else the token that ends texts."""
        if begin := self.special_beginning():
            return begin
        (info,) = self._all([self._get("/tokenizer_info")], 1)
        return self.tokenize([info["eos_token"]])[0]

    def likelihoods(self, pairs: Sequence[tuple[Ids, Ids]], progress: Progress | None = None) -> list[Likelihood]:
        """Of each second list of ids after its first; both together must fit into the context, less one token."""
        parts = list(_requests([context for context, _ in pairs]))
        done = 0

        async def score(part: list[int]) -> list[Likelihood]:
            nonlocal done
            found = await self._score([pairs[index] for index in part])
            done += len(part)
            if progress is not None:
                progress(done, len(pairs))
            return found

        answers = self._all(map(score, parts), _AT_ONCE)
        found = {
            index: one for part, ones in zip(parts, answers, strict=True) for index, one in zip(part, ones, strict=True)
        }
        return [found[index] for index in range(len(pairs))]

    def complete(self, asked: Sequence[tuple[Ids, Sequence[str], int]], progress: Progress | None = None) -> list[str]:
        """What the model writes, greedily, after each (prompt, texts that end it, most tokens)."""
        bodies = ({"prompt": prompt, "stop": list(stop)[:4], "max_tokens": size} for prompt, stop, size in asked)
        answers = self._all(
            (self._post(f"{self.target.url}/completions", self._greedy(body)) for body in bodies),
            4 * _AT_ONCE,
            progress,
        )
        return [str(answer["choices"][0]["text"]) for answer in answers]

    def chat(self, bodies: Sequence[Object], progress: Progress | None = None) -> list[Object]:
        """The message that answers each body of /v1/chat/completions, greedily.

        A prompt that does not fit is a message with `refused`; so is what else is refused, unless the server refuses all.
        """
        messages = self._all(map(self._message, bodies), 4 * _AT_ONCE, progress)
        if messages and all("context" not in message.get("refused", "context") for message in messages):
            raise UnavailableError(str(messages[0]["refused"]))
        return messages

    async def _message(self, body: Object) -> Object:
        try:
            answer = await self._post(f"{self.target.url}/chat/completions", self._greedy(body))
        except _RefusedError as error:
            return {"refused": str(error)}
        message: Object = answer["choices"][0]["message"]
        return message

    def _greedy(self, body: Object) -> Object:
        return {"model": self.target.model, "temperature": 0, **body}

    async def _score(self, pairs: Sequence[tuple[Ids, Ids]]) -> list[Likelihood]:
        prompts = [context + ids for context, ids in pairs]
        start = min(len(context) for context, _ in pairs)
        body = {"prompt": prompts, "echo": True, "echo_from": start, "logprobs": 1, "max_tokens": 1}
        answer = await self._post(f"{self.target.url}/completions", self._greedy(body))
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        if len(choices) != len(prompts):
            raise UnavailableError(f"{self.target.url} answers {len(choices)} of {len(prompts)} prompts at once.")
        return [self._likelihood(choice, start, *pair) for choice, pair in zip(choices, pairs, strict=True)]

    def _likelihood(self, choice: Object, start: int, context: Ids, ids: Ids) -> Likelihood:
        scores: list[float | None] = (choice.get("logprobs") or {}).get("token_logprobs") or []
        is_whole = scores[:1] == [None]  # only the first token of all has no score
        begin = len(context) - (0 if is_whole else start)
        span = slice(begin, begin + len(ids))
        # The drawn token's score comes after them; alone, it must not be taken for one of theirs.
        if len(scores) < span.stop + (not is_whole):
            raise UnavailableError(
                f"{self.target.url} tells no probabilities of a prompt's tokens (echo with logprobs), without which "
                "likelihoods cannot be had. Bise and vLLM tell them; elsewhere measure by generation: gsm8k, ifeval, bfcl."
            )
        found = [score for score in scores[span] if score is not None]
        best = choice["logprobs"]["top_logprobs"][span]
        is_greedy = all(score >= max(top.values()) for score, top in zip(found, best, strict=True))
        return Likelihood(sum(found), is_greedy, len(ids))

    async def _ids(self, text: str, special: bool = False) -> Ids:
        body = {"model": self.target.model, "prompt": text, "add_special_tokens": special}
        answer = await self._post(f"{self.target.root}/tokenize", body)
        ids: Ids = answer["tokens"]
        return ids

    async def _get(self, path: str) -> Object:
        return await self._answer("GET", self.target.root + path, None)

    async def _post(self, url: str, body: Object) -> Object:
        answer = await self._answer("POST", url, body)
        usage = answer.get("usage") or {}
        self._num_requests += 1
        self._num_prompt_tokens += usage.get("prompt_tokens") or 0
        self._num_completion_tokens += usage.get("completion_tokens") or 0
        return answer

    async def _answer(self, method: str, url: str, body: Object | None) -> Object:
        """Ask, and again after a pause where the server is busy or the connection broke."""
        wait_s, problem = _FIRST_WAIT_S, ""
        for _ in range(_TRIES):
            try:
                answer = await self._client.request(method, url, json=body)
            except httpx.HTTPError as error:
                problem = f"does not answer ({type(error).__name__}: {error})"
            else:
                if answer.status_code == httpx.codes.OK:
                    found: Object = answer.json()
                    return found
                problem = f"answers {answer.status_code}: {answer.text[:300]}"
                if answer.status_code in _WRONG:
                    raise _RefusedError(f"{url} {problem}")
                if answer.status_code not in _BUSY:
                    break
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise UnavailableError(f"{url} {problem}. What was finished is kept: the same command goes on from there.")

    def _all(
        self, work: Iterable[Coroutine[Any, Any, Result]], at_once: int, progress: Progress | None = None
    ) -> list[Result]:
        """Do all, some at once; the first error ends it."""
        return asyncio.run(self._gather(list(work), at_once, progress))

    async def _gather(
        self, work: list[Coroutine[Any, Any, Result]], at_once: int, progress: Progress | None
    ) -> list[Result]:
        places, done = asyncio.Semaphore(at_once), 0

        async def one(coroutine: Coroutine[Any, Any, Result]) -> Result:
            nonlocal done
            async with places:
                result = await coroutine
            done += 1
            if progress is not None:
                progress(done, len(work))
            return result

        async with httpx.AsyncClient(headers=self.target.headers, timeout=_TIMEOUT_S, trust_env=False) as self._client:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(coroutine)) for coroutine in work]
            except* UnavailableError as errors:
                raise errors.exceptions[0] from None
            finally:
                for coroutine in work:
                    coroutine.close()
        return [task.result() for task in tasks]


def _requests(contexts: Sequence[Ids]) -> Iterator[list[int]]:
    """Which pairs go together: contexts of about one length, and one pair of each context before the others of it.

    A server that keeps what it has computed then computes each context once.
    """
    pairs: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, context in enumerate(contexts):
        pairs[tuple(context)].append(index)
    groups = [pairs[context] for context in sorted(pairs, key=len)]
    for start in range(0, len(groups), _AT_ONCE * _PROMPTS_A_REQUEST):
        block = groups[start : start + _AT_ONCE * _PROMPTS_A_REQUEST]
        for part in ([group[0] for group in block], [index for group in block for index in group[1:]]):
            yield from (part[at : at + _PROMPTS_A_REQUEST] for at in range(0, len(part), _PROMPTS_A_REQUEST))
