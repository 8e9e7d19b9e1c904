"""Room 12, the chat application's server side: the page, its session, conversations and generation.

In: the browser's requests. Out: JSON and server-sent events. It reaches the model through the same `Backend` as the
API. Read first: `routes.py`. `static/` holds the built web client and is not in the repository.
"""
