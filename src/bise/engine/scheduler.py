"""What a step does, decided by pure functions: who runs (`choose_running`), and who computes what (`divide_step`).

Sequences are known by number, in order of arrival. One is senior to another if it is interactive and the other batch,
or both are the same and it came first. The rules:

- Every running sequence whose prompt is done gets its next token in every step. What remains of a step goes to
  prompts, in chunks: a quarter of it to the oldest, the rest to the shortest, so that neither starves.
- A sequence is admitted with the blocks of all its tokens so far, and grows by a block when it needs one. When there
  is none, the most junior running sequence is preempted: it gives its blocks back, waits, and computes its tokens again
  when it is admitted again. Its sampler waits with it, so its answer is the same.
- Each tenant has two lanes of waiting sequences, interactive and batch. Interactive ones go first, among them those of
  the tenant that was served least (arXiv 2401.00588). Who has been overtaken or preempted too often is promoted: it
  counts as interactive and goes before all others. The one whose turn it is waits until it fits; none passes it then.
  Running batch sequences give way to an interactive one, and those of a tenant with many to one of a tenant with few,
  but never one that was promoted.

Every request ends. The most senior running sequence is never preempted, gets tokens in every step, and fits into the
cache alone, so it ends; then there is a next. So running sequences end while none is admitted, and the one whose turn it
is gets in. The earliest unfinished request is promoted after finitely many turns and preemptions of others and is then
the most senior of all; when it has ended, another is the earliest.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST_CHUNK = 16  # tokens that prompts get in a step however long it takes, so that they end
OLDEST_SHARE = 0.25  # of what a step has for prompts
UNOBSERVED_S = 0.5  # seconds of a step in which nobody waits for a next token; new arrivals do
RESERVE = 1  # blocks for each running sequence to grow, beyond which none is admitted


class Running(NamedTuple):
    """A running sequence."""

    number: int
    num_computed: int  # leading tokens whose keys and values are in the cache
    num_left: int  # tokens to compute before the next can be drawn: the rest of the prompt, then always 1
    num_wanted: int  # blocks that it lacks for the next token, 0 or 1
    num_alone: int  # blocks that nobody else holds
    tenant: str
    is_batch: bool  # and not promoted
    is_promoted: bool


class Waiting(NamedTuple):
    """A sequence that waits to be admitted."""

    number: int
    num_blocks: int  # to take for all its tokens so far
    num_tokens: int  # charged to its tenant when it is admitted; none for a preempted one
    is_promoted: bool


class Lane(NamedTuple):
    """What one tenant has waiting of one priority, in order of arrival."""

    tenant: str
    is_batch: bool
    num_served: float  # tokens computed for the tenant, weighted
    waiting: tuple[Waiting, ...]  # as many as could be admitted at once


@dataclass(frozen=True)
class View:
    """All that decides who runs."""

    running: tuple[Running, ...]
    lanes: tuple[Lane, ...]
    num_available: int  # blocks
    max_sequences: int


class Changes(NamedTuple):
    """Sequences, by number, to preempt first and to admit then, in order."""

    preempted: tuple[int, ...]
    admitted: tuple[int, ...]


class Slice(NamedTuple):
    """The next tokens of one of the running sequences."""

    place: int  # among the running
    num_tokens: int


@dataclass(frozen=True)
class StepCost:
    """An estimate of a step's seconds: so much a token, and so much a pair of a token and one that it attends to."""

    token_s: float = 2e-3
    pair_s: float = 1e-7

    def seconds(self, num_tokens: int, num_pairs: int) -> float:
        """The estimate for a step."""
        return self.token_s * num_tokens + self.pair_s * num_pairs

    def after(self, num_tokens: int, num_pairs: int, seconds: float) -> "StepCost":
        """The estimate corrected by a measured step (normalised least mean squares), half of the way."""
        pairs = num_pairs / 2048  # brings both features to one size
        # A pause of the machine says nothing about the step.
        error = min(seconds, 4 * self.seconds(num_tokens, num_pairs)) - self.seconds(num_tokens, num_pairs)
        factor = 0.5 * error / (num_tokens**2 + pairs**2)
        return StepCost(max(self.token_s + factor * num_tokens, 1e-9), max(self.pair_s + factor * pairs / 2048, 1e-13))

    def tokens_in(self, seconds: float, position: int) -> int:
        """How many tokens of a sequence, from `position` on, take that long."""
        if seconds <= 0:
            return 0
        slope = self.token_s + self.pair_s * position
        return int(2 * seconds / (slope + math.sqrt(slope * slope + 2 * self.pair_s * seconds)))


def choose_running(view: View) -> Changes:
    """Decide who is preempted so that all others can grow, and who is admitted."""
    kept = sorted(view.running, key=lambda running: (running.is_batch, running.number))
    preempted, num_available = _make_room(kept, view.num_available)
    num_running = Counter(running.tenant for running in kept)
    admitted: list[int] = []
    for candidate, lane in _by_turn(view.lanes):
        victims: list[Running] = []
        while not _fits(candidate, num_running.total(), num_available, view.max_sequences):
            victim = _who_gives_way(kept, num_running, lane.tenant, lane.is_batch and not candidate.is_promoted)
            if victim is None:
                return Changes(tuple(preempted), tuple(admitted))
            kept.remove(victim)
            num_running[victim.tenant] -= 1
            num_available += victim.num_alone + victim.num_wanted
            victims.append(victim)
        preempted += [victim.number for victim in victims]
        admitted.append(candidate.number)
        num_running[lane.tenant] += 1
        num_available -= candidate.num_blocks
    return Changes(tuple(preempted), tuple(admitted))


def divide_step(running: Sequence[Running], cost: StepCost, step_tokens: int, step_s: float) -> list[Slice]:
    """Divide a step: a token to each sequence that needs just one, and to prompts what tokens and time remain."""
    counts = {index: 1 for index, sequence in enumerate(running) if sequence.num_left == 1}
    prompts = [index for index, sequence in enumerate(running) if sequence.num_left > 1]
    if not prompts:
        return [Slice(index, 1) for index in counts]
    left_s = UNOBSERVED_S
    if counts:
        answers_s = cost.seconds(len(counts), sum(running[index].num_computed + 1 for index in counts))
        left_s = max(step_s - answers_s, answers_s)  # where answers alone take that long, prompts may take as long
    left_tokens = step_tokens - len(counts)
    oldest = min(prompts, key=lambda index: running[index].number)
    shortest = sorted(prompts, key=lambda i: (running[i].is_batch, running[i].num_left, running[i].number))
    for index, share, least in [(oldest, OLDEST_SHARE, LEAST_CHUNK)] + [(index, 1.0, 0) for index in shortest]:
        given = counts.get(index, 0)
        position = running[index].num_computed + given
        wanted = min(int(share * left_tokens), cost.tokens_in(share * left_s, position))
        count = min(max(least, wanted), running[index].num_left - given, left_tokens)
        if count:
            counts[index] = given + count
            left_tokens -= count
            left_s -= cost.seconds(count, num_pairs(position, count))
    return [Slice(index, count) for index, count in counts.items()]


def num_pairs(position: int, count: int) -> int:
    """Pairs of a token and one that it attends to, itself included, for `count` tokens from `position` on."""
    return count * position + count * (count + 1) // 2


def _make_room(kept: list[Running], num_available: int) -> tuple[list[int], int]:
    """Preempt the last of `kept` until all others can grow; returns them and the blocks available after that.

    The first always stays: when all others have gone, whatever was counted, it has the cache to itself.
    """
    preempted = []
    num_wanted = sum(running.num_wanted for running in kept)
    while num_wanted > num_available and len(kept) > 1:
        victim = kept.pop()
        preempted.append(victim.number)
        num_wanted -= victim.num_wanted
        num_available += victim.num_alone
    return preempted, num_available - num_wanted


def _who_gives_way(kept: list[Running], num_running: Counter[str], tenant: str, is_batch: bool) -> Running | None:
    """The most junior running sequence that is preempted for one of `tenant`, if there is any.

    Batch gives way to interactive, and of equals a tenant with more running sequences gives way as long as it still has
    as many as the other after that: so none is preempted in return.
    """
    for running in reversed(kept):
        has_more = num_running[running.tenant] - num_running[tenant] >= 2
        if not running.is_promoted and (running.is_batch > is_batch or (has_more and running.is_batch == is_batch)):
            return running
    return None


def _by_turn(lanes: Sequence[Lane]) -> Iterator[tuple[Waiting, Lane]]:
    """Who is to be admitted next, if those before have been."""
    num_served = {lane.tenant: lane.num_served for lane in lanes}
    places = [0] * len(lanes)

    def turn(index: int) -> tuple[float, ...]:
        lane, head = lanes[index], lanes[index].waiting[places[index]]
        return (0, head.number) if head.is_promoted else (1, lane.is_batch, num_served[lane.tenant], head.number)

    while heads := [index for index, lane in enumerate(lanes) if places[index] < len(lane.waiting)]:
        index = min(heads, key=turn)
        lane, head = lanes[index], lanes[index].waiting[places[index]]
        yield head, lane
        num_served[lane.tenant] += head.num_tokens
        places[index] += 1


def _fits(candidate: Waiting, num_running: int, num_available: int, max_sequences: int) -> bool:
    if num_running == 0:
        return True  # the engine refuses what does not fit into the cache alone
    return num_running < max_sequences and candidate.num_blocks + RESERVE * (num_running + 1) <= num_available
