"""What the page is told: the part of the OpenAPI document from which the client's types are made.

The routes build their replies by hand, because 500 messages would wait for their checking. The tests hold every reply of
theirs to these models (`tests/app/replied.py`), and `bise.app.document` writes the document. What resembles a record
of the store or of a lineage is written out all the same: it is a promise to the page, and changes when it is changed here.
"""
