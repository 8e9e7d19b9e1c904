"""Who holds which blocks of the KV cache: a free list, reference counts, and a radix tree of what can be shared.

A full block whose keys and values have been computed may be published in the tree, under the tokens that it holds and
all tokens before them; later sequences with the same beginning hold the same block instead of computing it again.
Each tenant has a tree of its own, so nobody can learn from the speed of an answer what another tenant has asked; and
each adapter, since keys and values depend on it.

Every block is in one of three states:

    free     holds nothing
    used     held by at least one sequence
    cached   published, held by none: shared with the next that wants it, or evicted when blocks run out

Whoever holds a published block holds all before it in the tree, and gives them back last block first. So the order in
which blocks become cached has children before their parents, and evicting from its front takes the least recently used
leaf each time. The idea of the tree is RadixAttention's (arXiv 2312.07104).
"""

from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakValueDictionary

from bise.engine.kernels.table import BLOCK

Namespace = tuple[str, str]  # tenant and adapter


class Node:
    """A published block; `children` are the blocks known to follow it. The root of a tree has no block."""

    __slots__ = ("__weakref__", "block", "children", "parent", "tokens")

    def __init__(self, parent: "Node | None", tokens: tuple[int, ...], block: int) -> None:
        self.parent = parent
        self.tokens = tokens
        self.block = block
        self.children: dict[tuple[int, ...], Node] = {}


class BlockPool:
    """The blocks of one cache, by number; it knows nothing of what is stored in them."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.num_evictions = 0
        self._free = list(range(num_blocks))[::-1]
        self._references = [0] * num_blocks
        self._published: dict[int, Node] = {}  # by block
        self._cached: OrderedDict[int, Node] = OrderedDict()  # by block; least recently used first
        self._roots: WeakValueDictionary[Namespace, Node] = (
            WeakValueDictionary()
        )  # its nodes and users keep a root alive

    @property
    def num_available(self) -> int:
        """Blocks that can be taken: free ones, and cached ones that would be evicted."""
        return len(self._free) + len(self._cached)

    @property
    def num_cached(self) -> int:
        """Blocks that no sequence holds, kept for the next with the same beginning."""
        return len(self._cached)

    @property
    def num_used(self) -> int:
        """Blocks that sequences hold; a shared one counts once."""
        return self.num_blocks - self.num_available

    def take(self, count: int) -> list[int]:
        """Lend blocks, evicting cached ones where free ones do not suffice; the caller has checked `num_available`."""
        assert count <= self.num_available, f"{count} blocks wanted, {self.num_available} available"
        while len(self._free) < count:
            self._evict()
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._references[block] = 1
        return taken

    def give_back(self, blocks: Sequence[int]) -> None:
        """Return a sequence's blocks, given in the order of its tokens."""
        for block in reversed(blocks):
            self._references[block] -= 1
            if self._references[block] == 0:
                if block in self._published:
                    self._cached[block] = self._published[block]
                else:
                    self._free.append(block)

    def root(self, namespace: Namespace) -> Node:
        """Where a tenant's sequences with an adapter begin in the tree; it lasts as long as somebody keeps it or it has children."""
        root = self._roots.get(namespace)
        if root is None:
            root = self._roots[namespace] = Node(None, (), -1)
        return root

    def share(self, after: Node, tokens: Sequence[int]) -> Node | None:
        """Hold the published block of these 16 tokens after those of `after`, if there is one."""
        node = after.children.get(tuple(tokens))
        if node is not None:
            self._references[node.block] += 1
            self._cached.pop(node.block, None)
        return node

    def publish(self, after: Node, tokens: Sequence[int], block: int) -> Node:
        """Put a held block, full of these 16 computed tokens, into the tree after `after`, which the holder holds too.

        When another sequence has published the same tokens first, the holder gives `block` back and holds that one
        instead: the caller goes on with the block of the returned node.
        """
        assert len(tokens) == BLOCK, f"{len(tokens)} tokens do not fill a block"
        assert self._references[block] == 1, "only a block of one's own can be published"
        node = self.share(after, tokens)
        if node is not None:
            self.give_back([block])
            return node
        key = tuple(tokens)
        node = self._published[block] = after.children[key] = Node(after, key, block)
        return node

    def num_held_prefix(self, namespace: Namespace, tokens: Sequence[int]) -> int:
        """Leading blocks of these tokens that running sequences hold, which sharing would get without taking any."""
        node, count = self._roots.get(namespace), 0
        while node is not None:
            node = node.children.get(tuple(tokens[count * BLOCK : (count + 1) * BLOCK]))
            if node is None or self._references[node.block] == 0:
                break
            count += 1
        return count

    def num_held_alone(self, blocks: Sequence[int]) -> int:
        """How many of these blocks have just one holder, and become available when it gives them back."""
        references = self._references
        return sum(references[block] == 1 for block in blocks)

    def _evict(self) -> None:
        block, node = self._cached.popitem(last=False)
        assert not node.children, "a block is evicted after all that follow it"
        assert node.parent is not None, "the root holds no block"
        del node.parent.children[node.tokens]
        del self._published[block]
        self._free.append(block)
        self.num_evictions += 1


def blocks_for(num_tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-num_tokens // BLOCK)
