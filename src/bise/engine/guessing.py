"""Which tokens are computed on the chance that they are drawn: from an answer's own text, else from a smaller model."""

from collections.abc import Mapping

from bise.engine.draft import Draft, Drafting, Wanted
from bise.engine.kernels.table import BLOCK
from bise.engine.lookup import Lookup
from bise.engine.requests import SequenceState
from bise.engine.settings import EngineConfig

_MOST_TOKENS = 16  # of a step with guesses: up to about so many cost little more than one


class Guessing:
    """Proposes next tokens of running answers and learns which of them hold."""

    def __init__(self, config: EngineConfig, draft: Draft | None) -> None:
        self.num_proposed = self.num_held = 0  # tokens
        self._looks_up = config.speculation
        self._draft_tokens = config.draft_tokens
        self._draft = draft
        self._most_tokens = min(_MOST_TOKENS, config.step_tokens)
        self._drafted: dict[int, tuple[int, int]] = {}  # of this step: number -> row, length of the text

    def begin(self, sequence: SequenceState) -> None:
        """Give a new answer what its guesses need."""
        sequence.lookup = Lookup() if self._looks_up else None
        sequence.drafting = Drafting() if self._draft is not None else None

    def propose(self, sequences: Mapping[int, SequenceState], num_slices: int) -> dict[int, list[int]]:
        """Tokens that may follow, by the keys of those answers; they have room in the blocks that each holds."""
        self._drafted = {}
        most = self._most_tokens // num_slices - 1
        proposals: dict[int, list[int]] = {}
        wanted: dict[int, Wanted] = {}
        for key, sequence in sequences.items():
            size = min(len(sequence.blocks) * BLOCK, sequence.max_length - 1)
            room = min(most, size - len(sequence.token_ids))
            if room < 1:
                continue
            if sequence.lookup is not None and (proposed := sequence.lookup.propose(sequence.token_ids, room)):
                proposals[key] = proposed
            elif length := min(room, self._draft_length(sequence)):
                wanted[key] = Wanted(sequence.row, sequence.number, sequence.token_ids, length)
        return proposals | self._ask_draft(wanted)

    def observe(self, sequence: SequenceState, num_proposed: int, num_held: int) -> None:
        """Note how many of an answer's proposals held."""
        self.num_proposed += num_proposed
        self.num_held += num_held
        if sequence.number in self._drafted:
            assert self._draft is not None
            assert sequence.drafting is not None
            row, length = self._drafted[sequence.number]
            self._draft.observe(row, length + num_held)
            sequence.drafting.observe(num_proposed, num_held)
        else:
            assert sequence.lookup is not None
            sequence.lookup.observe(num_proposed, num_held)

    def note_step(self, tokens_each: float, seconds: float) -> None:
        """Note how long a step of so many tokens for each answer took, none of them of a prompt."""
        if self._draft is not None:
            self._draft.costs = self._draft.costs.after_step(tokens_each, seconds)

    def _draft_length(self, sequence: SequenceState) -> int:
        if self._draft is None or sequence.drafting is None:
            return 0
        if self._draft_tokens is not None:
            return self._draft_tokens
        return sequence.drafting.length(self._draft.costs)

    def _ask_draft(self, wanted: Mapping[int, Wanted]) -> dict[int, list[int]]:
        if self._draft is None or not wanted:
            return {}
        proposed = self._draft.propose(tuple(wanted.values()))
        found = {key: proposed[one.row] for key, one in wanted.items() if one.row in proposed}
        self._drafted = {wanted[key].number: (wanted[key].row, len(wanted[key].token_ids)) for key in found}
        return found
