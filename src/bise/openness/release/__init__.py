"""The documents of a release: cards, disclosure forms, bill of materials.

Read first: `record.py` (what is known), then `directory.py` (what is written).
"""
