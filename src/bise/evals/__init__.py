"""Room 8, weights to scores, comparisons and gates.

Models are reached by URL only, as any client would. Empty until the first score lands: held-out loss during training
is a hook of room 5.
"""
