"""Room 10, the database: SQLite by default, PostgreSQL by URL, with migrations and backups.

In and out: plain records of users, keys, conversations and messages. Every query names the owner.
Read first: `tables.py`, then `turns.py` and `branches.py`; `feedback.py` is what people think of answers.
"""
