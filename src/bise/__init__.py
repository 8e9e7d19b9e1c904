"""Bise: own a language model from the raw text to the conversation.

The rooms stand in the order in which data flows: corpus, tokenizer, weights, model, train, tune, openness, evals,
engine, store, server, app, cli. Each room's `__init__.py` says what goes in, what comes out and which file to read
first. Start with `bise.cli.main` to follow a command, or with `bise.messages` for the types that all rooms share.
"""

__version__ = "0.1.0"
