"""Room 7, runs to lineage, cards and disclosure.

In: manifests. Out: lineage and the model card. Read first: `lineage.py`, then `card.py`. It reads records only, never
the training rooms.
"""
