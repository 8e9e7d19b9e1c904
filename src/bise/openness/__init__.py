"""Room 7, runs to lineage, cards and disclosure.

In: manifests. Out: the model card. Read first: `card.py`. It reads records only, never the training rooms.
"""
