"""Room 8, weights to scores, comparisons and gates.

In: a model, reached by URL only, as any client would, and files of questions. Out: a directory of results. Read
`results.py` first: every score, and everything that is said about scores, is made of its items.
"""
