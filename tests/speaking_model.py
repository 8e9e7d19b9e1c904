"""A model of random weights with a real vocabulary: what it says is noise, but it goes every real way."""

from dataclasses import replace
from pathlib import Path

from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import FILE_NAME, write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.weights.spec import ModelSpec
from tests.random_models import TINY, write_model

TEXTS = ["The wind comes over the lake in the morning. Größe, Süße, gęś, Ça va? 🪿 Добро"] * 3


def write_speaking_model(directory: Path, context_length: int = 256, shape: ModelSpec = TINY) -> Path:
    directory.mkdir(parents=True)
    write_tekken(train_vocabulary(TEXTS, 320), directory / FILE_NAME)
    vocab_size = ChatTokenizer.load(directory).vocab_size
    return write_model(directory, replace(shape, vocab_size=vocab_size, context_length=context_length))
