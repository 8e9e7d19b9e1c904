"""The compiled loops of the corpus room: plain functions of a batch, `data` (UTF-8 bytes) and `offsets` (n + 1).

In: the buffers of an Arrow large_string array, and tables from `characters.py`. Out: arrays. No globals, no files.
Read first: `text.py` (how bytes become characters and hashes), then `scan.py` (how characters become tokens and lines).
"""
