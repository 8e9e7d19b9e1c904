"""What lora_vs_trl.py has both programs tune: a model's shape, an adapter, and conversations of the lengths people write."""

import numpy as np

from bise.train.recipe import OptimizerRecipe
from bise.weights.adapter import TARGETS, AdapterSpec
from bise.weights.spec import ModelSpec

SHAPE = ModelSpec(16_384, 640, 10, 10, 5, 64, 1728, 1024)
ADAPTER = AdapterSpec(rank=16, alpha=32.0, targets=TARGETS)
ROW_LENGTH, BATCH_ROWS = 1024, 2
RATES = OptimizerRecipe(embedding_learning_rate=2e-4)
_NUM_CONVERSATIONS = 256


def conversations(vocab_size: int) -> list[tuple[list[int], list[int]]]:
    """Ids, and labels with -100 where nothing is learned: questions and longer answers."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(_NUM_CONVERSATIONS):
        asked, answered = (int(n) for n in np.clip(random.lognormal((3.6, 4.6), 0.7), 8, (200, 600)))
        ids = random.integers(300, vocab_size, asked + answered).tolist()
        made.append((ids, [-100] * asked + ids[asked:]))
    return made
