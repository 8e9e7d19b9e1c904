"""Room 13, the commands. Read first: `main.py`, which names every command and imports it only when called."""
