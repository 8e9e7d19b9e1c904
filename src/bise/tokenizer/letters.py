"""How the `tokenizers` library and GGUF files write bytes: a printable letter for each."""

from functools import cache


@cache
def byte_of_letter() -> dict[str, int]:
    """The printable letter that stands for each byte: itself where printable, else 256 and on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + offset): byte for offset, byte in enumerate(others)}


def as_bytes(letters: str) -> bytes:
    """The bytes that letters stand for; a KeyError for one that stands for none."""
    byte_of = byte_of_letter()
    return bytes(byte_of[letter] for letter in letters)


@cache
def _letters() -> dict[int, str]:
    return {byte: letter for letter, byte in byte_of_letter().items()}


def spell(content: bytes) -> str:
    """Undo `as_bytes`."""
    letters = _letters()
    return "".join(letters[byte] for byte in content)
