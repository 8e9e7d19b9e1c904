"""Whether training made something worse, in words with both numbers."""

from bise.train.loop import HeldOutLosses

_NOTICED = 0.01  # relative; less is chance
_ADVICE = "Learn from more tokens, or with lower learning rates."


def what_got_worse(before: HeldOutLosses, after: HeldOutLosses) -> list[str]:
    """A sentence for each language of held-out text that a model is worse at than the one it went on from."""
    key = "bits_per_byte"
    told = (
        got_worse(f"Held-out text ({lang})", before[lang][key], after[lang][key], "bits per byte", _ADVICE)
        for lang in after
    )
    return [sentence for sentence in told if sentence]


def got_worse(subject: str, before: float, after: float, unit: str, advice: str) -> str:
    """A sentence with both numbers, or nothing where it did not."""
    if after <= before * (1 + _NOTICED):
        return ""
    return f"{subject} got worse: {before:.3f} {unit} before, {after:.3f} after. {advice}"
