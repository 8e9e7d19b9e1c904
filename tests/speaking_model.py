"""A model of random weights with a real vocabulary: what it says is noise, but it goes every real way."""

from dataclasses import replace
from pathlib import Path

from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import FILE_NAME, write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.weights.spec import ModelSpec
from tests.random_models import TINY, random_tensors, write_model

TEXTS = ["The wind comes over the lake in the morning. Größe, Süße, gęś, Ça va? 🪿 Добро"] * 3


def write_speaking_model(
    directory: Path, context_length: int = 256, shape: ModelSpec = TINY, *, endless: bool = False
) -> Path:
    """Write the model; an `endless` one never finds its end the likeliest, whatever the processor's rounding."""
    directory.mkdir(parents=True)
    write_tekken(train_vocabulary(TEXTS, 320), directory / FILE_NAME)
    tokenizer = ChatTokenizer.load(directory)
    spec = replace(shape, vocab_size=tokenizer.vocab_size, context_length=context_length)
    tensors = random_tensors(spec)
    if endless:
        tensors["output.weight"][list(tokenizer.stop_ids)] = 0  # and some other id is always above
    return write_model(directory, spec, tensors)
