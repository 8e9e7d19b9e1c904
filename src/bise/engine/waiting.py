"""Who waits for a place in the engine, in lanes by tenant and priority, and what each tenant was served so far."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from bise.engine.requests import SequenceState
from bise.engine.scheduler import Lane, Waiting

PATIENCE = 8  # times that the first of a lane is overtaken, for each lane there is, before it is promoted


class Service:
    """Tokens computed for each tenant while others were there to be compared with (arXiv 2401.00588)."""

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._num_live: Counter[str] = Counter()  # sequences that run or wait

    def begin(self, tenant: str) -> None:
        """A sequence arrives. A tenant that had none is put level with the least served: idling saves up nothing."""
        if tenant not in self._num_live:
            floor = min((self._served[other] for other in self._num_live), default=0.0)
            self._served[tenant] = max(self._served.get(tenant, 0.0), floor)
            for other in [name for name in self._served if name not in self._num_live and name != tenant]:
                if self._served[other] <= floor:
                    del self._served[other]
        self._num_live[tenant] += 1

    def end(self, tenant: str) -> None:
        """A sequence has ended. When all have, nobody owes anybody anything."""
        self._num_live[tenant] -= 1
        if not self._num_live[tenant]:
            del self._num_live[tenant]
        if not self._num_live:
            self._served.clear()

    def charge(self, tenant: str, num_tokens: float) -> None:
        """Note what was done for a tenant."""
        self._served[tenant] += num_tokens

    def __len__(self) -> int:
        """Tenants that are remembered."""
        return len(self._served)

    def __getitem__(self, tenant: str) -> float:
        """What a tenant with live sequences was served."""
        return self._served[tenant]


class WaitingLanes:
    """Waiting sequences, each lane in order of arrival; a preempted one returns to its place."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, bool], list[SequenceState]] = {}

    def __contains__(self, sequence: SequenceState) -> bool:
        """Whether it waits."""
        return sequence in self._lanes.get(_lane_of(sequence), ())

    def __iter__(self) -> Iterator[SequenceState]:
        """All that wait, in no order."""
        return (sequence for lane in self._lanes.values() for sequence in lane)

    def add(self, sequence: SequenceState) -> None:
        """Wait, behind all of the lane that came before."""
        insort(self._lanes.setdefault(_lane_of(sequence), []), sequence, key=lambda other: other.number)

    def remove(self, sequence: SequenceState) -> None:
        """Wait no longer."""
        lane = self._lanes[_lane_of(sequence)]
        lane.remove(sequence)
        if not lane:
            del self._lanes[_lane_of(sequence)]

    def view(self, most: int, service: Service, num_blocks: Callable[[SequenceState, bool], int]) -> tuple[Lane, ...]:
        """The first `most` of each lane; `num_blocks` is told of each and whether it is the first."""
        return tuple(
            Lane(
                tenant,
                is_batch,
                service[tenant],
                tuple(
                    Waiting(
                        number=sequence.number,
                        num_blocks=num_blocks(sequence, place == 0),
                        num_tokens=0 if sequence.num_preemptions else len(sequence.token_ids),
                        is_promoted=sequence.is_promoted,
                    )
                    for place, sequence in enumerate(lane[:most])
                ),
            )
            for (tenant, is_batch), lane in self._lanes.items()
        )

    def overtake(self, admitted: Sequence[SequenceState]) -> None:
        """Those first in their lanes lose patience when others that came later are admitted."""
        for head in [lane[0] for lane in self._lanes.values()]:
            times = sum(sequence.number > head.number for sequence in admitted)
            head.impatience += times / (PATIENCE * len(self._lanes))


def _lane_of(sequence: SequenceState) -> tuple[str, bool]:
    return sequence.request.tenant, sequence.request.priority == "batch"
