"""Room 11, the HTTP API that existing clients speak.

In: requests in OpenAI's and Mistral's dialects. Out: completions, whole or streamed, from a `Backend`.
Read first: `backend.py` (the seam to the engine), then `admission.py` (the one door to it) and `api.py` (the routes).
"""
