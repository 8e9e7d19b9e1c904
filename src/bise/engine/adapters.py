"""The adapters that are in the engine's memory: who uses which, and which go when room is wanted.

An adapter is known by a key that stands for its content, so one that is replaced under its name is another. One that is
used for an answer stays until that ends; of the others the least recently used go first.
"""

from collections import OrderedDict
from dataclasses import dataclass

from bise.engine.batch import PackedAdapter
from bise.errors import InputError


@dataclass(eq=False)
class HeldAdapter:
    """An adapter in memory."""

    key: str
    packed: PackedAdapter
    num_users: int = 0  # answers that are being made


class AdapterPool:
    """Adapters by key, within a bound of memory."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.size_bytes = 0  # of all, those that were dropped while in use included
        self._held: OrderedDict[str, HeldAdapter] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        """Adapters that requests can use without loading."""
        return len(self._held)

    def __contains__(self, key: str) -> bool:
        """Whether it can be used without loading."""
        return key in self._held

    def add(self, key: str, packed: PackedAdapter) -> bool:
        """Take an adapter in, and let idle ones go for it; False when those in use leave no room.

        Raises:
            InputError: it would not fit into empty memory.
        """
        assert key not in self._held, f"{key} is in memory"
        if packed.size_bytes > self.most_bytes:
            raise InputError(
                f"The adapter takes {packed.size_bytes / 1e6:.1f} MB of memory, but adapters may take "
                f"{self.most_bytes / 1e6:.1f} MB here. Tune one of smaller rank, or set adapter_bytes higher."
            )
        idle = [held for held in self._held.values() if held.num_users == 0]
        if self.size_bytes - sum(held.packed.size_bytes for held in idle) + packed.size_bytes > self.most_bytes:
            return False
        for held in idle:
            if self.size_bytes + packed.size_bytes > self.most_bytes:
                self.drop(held.key)
        self._held[key] = HeldAdapter(key, packed)
        self.size_bytes += packed.size_bytes
        return True

    def hold(self, key: str) -> HeldAdapter:
        """Use an adapter until `release`."""
        held = self._held[key]
        held.num_users += 1
        self._held.move_to_end(key)
        return held

    def release(self, held: HeldAdapter) -> None:
        """A user has ended; if the adapter was dropped meanwhile, its memory goes with the last."""
        held.num_users -= 1
        if held.num_users == 0 and self._held.get(held.key) is not held:
            self.size_bytes -= held.packed.size_bytes

    def drop(self, key: str) -> None:
        """Let no further request use an adapter; nothing happens when it is not in memory."""
        held = self._held.pop(key, None)
        if held is not None and held.num_users == 0:
            self.size_bytes -= held.packed.size_bytes
