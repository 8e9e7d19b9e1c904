"""Room 2, documents to vocabulary and token shards; conversations to ids and back.

In: documents, conversations, text. Out: a tekken file that mistral-common loads, shards of token ids, `(ids, loss_mask)`.
Read first: `chat.py`, the one renderer that tuning and serving share. Nothing here imports torch or Arrow.
"""
