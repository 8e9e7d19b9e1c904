"""How each kind of file is read: a stored file goes in; records, and what is wrong with it, come out.

Read first: `record.py` (what comes out), then the format that is of interest.
"""
