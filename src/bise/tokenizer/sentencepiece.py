"""Mistral's SentencePiece files (tokenizer.model.v1 to v7) with mistral-common's templates."""

from pathlib import Path

from mistral_common.exceptions import MistralCommonException
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer
from sentencepiece import SentencePieceProcessor

from bise.errors import InputError
from bise.tokenizer.instruct import InstructTemplate

BLANK = "▁"  # what SentencePiece writes for a space


class SentencePieceCodec:
    """A SentencePiece file of Mistral's; its name ends in the version of its templates, without one it is v1."""

    drops_first_space = True

    def __init__(self, path: Path) -> None:
        """Load the file.

        Raises:
            InputError: it is missing, damaged, or its name tells a version that there is not.
        """
        try:
            vocabulary = SentencePieceTokenizer(path)
            pieces = SentencePieceProcessor(model_file=str(path))
        except (MistralCommonException, OSError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"The tokenizer {path} is not a SentencePiece file of Mistral's: {error}.") from None
        self._vocabulary = vocabulary
        self.files = (path,)
        names = vocabulary.vocab()
        controls = [t for t in range(len(names)) if pieces.IsControl(t) or pieces.IsUnknown(t)]
        self.control_tokens = {token: names[token] for token in controls}
        self.token_bytes = [
            b"" if token in self.control_tokens else piece_bytes(name, is_byte=pieces.IsByte(token))
            for token, name in enumerate(names)
        ]
        self.bos_id = vocabulary.bos_id
        self.stop_ids = (vocabulary.eos_id,)
        self.segments = InstructTemplate(vocabulary, path).segments

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""
        return self._vocabulary.encode(text, bos=False, eos=False)


def piece_bytes(name: str, *, is_byte: bool) -> bytes:
    """The bytes that a piece of SentencePiece stands for; a byte's piece is its number, such as <0x0A>."""
    return bytes([int(name[3:5], 16)]) if is_byte else name.replace(BLANK, " ").encode()
