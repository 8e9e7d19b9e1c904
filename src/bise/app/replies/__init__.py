"""What the page is told: the part of the OpenAPI document from which the client's types are made.

The routes build their replies by hand, because 500 messages would wait for their checking. The tests hold every reply of
theirs to these models (`tests/app/replied.py`), and `bise.app.document` writes the document.
"""
