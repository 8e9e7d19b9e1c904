"""Room 7, runs to lineage, trace, cards and disclosure.

In: manifests, and the index of a corpus. Out: what a model was made from, what an answer repeats, cards, forms.
Read first: `lineage.py`, then `trace.py` and `card.py`. It reads records only, never the training rooms.
"""
