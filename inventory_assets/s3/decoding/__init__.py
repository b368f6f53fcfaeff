"""From the bytes of a page to Arrow columns; no I/O.

The columnar decoder is fast and the XML decoder plain; what one cannot take the other decodes,
and tests hold them to the same answer.
"""
