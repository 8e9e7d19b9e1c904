"""A step's threads share its memory: whoever began a step sees its end."""

import pytest

from bise.engine.kernels.control import CLOSE, CONTINUE, load_announce
from bise.engine.pool import Pool


def test_an_interrupted_step_ends_before_the_interruption_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    announce, calls = load_announce(), []

    def turns(thread: int, control: int) -> int:
        calls.append(thread)
        return CONTINUE if thread == 0 else CLOSE

    def interrupted(control: int, num_threads: int) -> int:
        announce(control, num_threads)
        raise KeyboardInterrupt

    pool = Pool(2, turns)
    monkeypatch.setattr(pool, "_announce", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.run()
    assert 0 in calls
    pool.close()
