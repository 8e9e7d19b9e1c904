"""Blocks are shared where all before them is the same, tenant and adapter too; none is lost, none is lent twice."""

import gc
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bise.engine.blocks import BlockPool, Namespace, Node, blocks_for
from bise.engine.kernels.table import BLOCK

NUM_BLOCKS = 7


def block_of(letter: str) -> tuple[int, ...]:
    return (ord(letter),) * BLOCK


def hold(pool: BlockPool, namespace: Namespace, letters: str) -> list[int]:
    """Share or publish a block for each letter; returns the blocks held."""
    node, blocks = pool.root(namespace), []
    for letter in letters:
        shared = pool.share(node, block_of(letter))
        node = shared or pool.publish(node, block_of(letter), pool.take(1)[0])
        blocks.append(node.block)
    return blocks


def num_cached_prefix(pool: BlockPool, namespace: Namespace, letters: str) -> int:
    node, blocks = pool.root(namespace), []
    for letter in letters:
        following = pool.share(node, block_of(letter))
        if following is None:
            break
        node = following
        blocks.append(node.block)
    pool.give_back(blocks)
    return len(blocks)


@dataclass
class Holder:
    namespace: Namespace
    node: Node
    text: str = ""  # a letter for each full block
    blocks: list[int] = field(default_factory=list)
    num_published: int = 0


class Holders(RuleBasedStateMachine):
    """Sequences that share, grow, publish and end in any order, beside a record of what each block must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.holders: list[Holder] = []
        self.contents: dict[
            int, tuple[Namespace, str]
        ] = {}  # block -> namespace and text up to its end, as last written

    @rule(namespace=st.sampled_from([("", ""), ("a", ""), ("a", "b")]), text=st.text("xyz", max_size=4))
    def begin(self, namespace: Namespace, text: str) -> None:
        holder = Holder(namespace, self.pool.root(namespace))
        expected = self.pool.num_held_prefix(namespace, [token for letter in text for token in block_of(letter)])
        available = self.pool.num_available
        for letter in text:
            node = self.pool.share(holder.node, block_of(letter))
            if node is None:
                break
            holder.node = node
            holder.text += letter
            holder.blocks.append(node.block)
            assert self.contents[node.block] == (namespace, holder.text)
        holder.num_published = len(holder.blocks)
        assert len(holder.blocks) - expected == available - self.pool.num_available
        self.holders.append(holder)

    @precondition(lambda self: self.holders and self.pool.num_available)
    @rule(data=st.data(), letter=st.sampled_from("xyz"))
    def grow(self, data: st.DataObject, letter: str) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        (block,) = self.pool.take(1)
        holder.text += letter
        holder.blocks.append(block)
        self.contents[block] = (holder.namespace, holder.text)

    @precondition(lambda self: any(h.num_published < len(h.blocks) for h in self.holders))
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from([h for h in self.holders if h.num_published < len(h.blocks)]))
        index = holder.num_published
        holder.node = self.pool.publish(holder.node, block_of(holder.text[index]), holder.blocks[index])
        holder.blocks[index] = holder.node.block
        holder.num_published += 1

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        self.holders = [other for other in self.holders if other is not holder]
        before = self.pool.num_available
        alone = self.pool.num_held_alone(holder.blocks)
        self.pool.give_back(holder.blocks)
        assert self.pool.num_available == before + alone

    @invariant()
    def every_block_holds_what_its_holders_wrote(self) -> None:
        for holder in self.holders:
            for index, block in enumerate(holder.blocks):
                assert self.contents[block] == (holder.namespace, holder.text[: index + 1])

    @invariant()
    def every_block_is_used_or_available(self) -> None:
        held = Counter(block for holder in self.holders for block in holder.blocks)
        assert self.pool.num_used == len(held)
        assert self.pool.num_used + self.pool.num_available == NUM_BLOCKS
        assert self.pool.num_cached <= self.pool.num_available

    def teardown(self) -> None:
        while self.holders:
            self.pool.give_back(self.holders.pop().blocks)
        assert self.pool.num_used == 0
        assert sorted(self.pool.take(NUM_BLOCKS)) == list(range(NUM_BLOCKS))


TestHolders = Holders.TestCase
TestHolders.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_was_used_least_recently_is_evicted_first_and_leaves_before_their_parents() -> None:
    found = []
    for num_evicted in range(6):
        pool = BlockPool(5)
        for text in ("abc", "ax", "q", "ab"):
            pool.give_back(hold(pool, ("", ""), text))
        pool.take(num_evicted)
        assert pool.num_evictions == num_evicted
        found.append(tuple(num_cached_prefix(pool, ("", ""), text) for text in ("abc", "ax", "q")))
    assert found == [(3, 2, 1), (2, 2, 1), (2, 1, 1), (2, 1, 0), (1, 1, 0), (0, 0, 0)]


def test_held_blocks_are_never_evicted() -> None:
    pool = BlockPool(4)
    held = hold(pool, ("", ""), "ab")
    pool.give_back(hold(pool, ("", ""), "abc"))
    pool.take(2)
    assert num_cached_prefix(pool, ("", ""), "abc") == 2
    assert pool.num_available == 0
    pool.give_back(held)
    assert pool.num_available == 2


def test_of_two_copies_the_first_published_is_kept() -> None:
    pool = BlockPool(2)
    first, second = pool.take(2)
    kept = pool.publish(pool.root(("", "")), block_of("a"), first)
    assert pool.publish(pool.root(("", "")), block_of("a"), second) is kept
    assert pool.take(1) == [second]


def test_a_tenant_leaves_nothing_behind() -> None:
    pool = BlockPool(4)
    for number in range(100):
        pool.give_back(hold(pool, f"tenant {number}", "abcd"))
    gc.collect()
    assert len(pool._roots) <= 2
    assert (pool.num_cached, pool.num_used) == (4, 0)


def test_blocks_for_rounds_up() -> None:
    assert [blocks_for(n) for n in (0, 1, BLOCK, BLOCK + 1)] == [0, 1, 1, 2]
