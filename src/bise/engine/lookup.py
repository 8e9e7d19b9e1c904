"""Guessing an answer's next tokens from its own text: prompt look-up, after the observation of Saxena (2023).

What has followed the last three tokens before is proposed to follow again. The step computes the proposals beside the
token that it has to compute anyway, which costs little while weights are read but for a few tokens; then each next
token is drawn as always, and the proposals hold as far as they are what was drawn. So nothing changes but the time.
"""

from collections.abc import Sequence

NGRAM = 3  # tokens that must be the same
FIRST = 4  # tokens that are proposed at first
LONGEST_PAUSE = 32  # steps without proposals after failures in a row


class Lookup:
    """What one answer's text proposes; it turns itself down while its proposals fail."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, ...], int] = {}  # of the token after the latest such tokens
        self._num_known = NGRAM  # tokens that the places know, the last one not as what follows
        self._length = FIRST
        self._num_failures = 0
        self._pause = 0

    def propose(self, token_ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow; often none."""
        for place in range(self._num_known, len(token_ids)):
            self._places[tuple(token_ids[place - NGRAM : place])] = place
        self._num_known = max(self._num_known, len(token_ids))
        if self._pause:
            self._pause -= 1
            return []
        found = self._places.get(tuple(token_ids[-NGRAM:]))
        if found is None:
            return []
        length = min(most, self._length)
        proposed = list(token_ids[found : found + length])
        period = len(token_ids) - found  # where the text runs into its own end, it may go on in the same way
        while len(proposed) < length:
            proposed.append(proposed[-period])
        return proposed

    def observe(self, num_proposed: int, num_held: int) -> None:
        """Note how many of the proposals held."""
        if num_held == 0:
            self._num_failures += 1
            self._pause = min(2**self._num_failures, LONGEST_PAUSE)
            self._length = FIRST
        else:
            self._num_failures = 0
            self._length = 2 * self._length if num_held == num_proposed else num_held + 1
