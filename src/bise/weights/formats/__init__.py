"""Other programs' model files, one module a format: each makes a `ForeignModel` of a path, and writes one.

Read first: `foreign.py` (what passes), then `hugging_face.py`. Nothing here runs what it reads.
"""
