"""Stand-ins for S3, shared by tests and benchmarks.

Some are buckets in memory, each a `PageSource`: with faulty or non-standard listings, with
versions, with latency, with changes and errors that follow from a seed. Others are HTTP servers on
127.0.0.1, or replace the transport of a `ListClient` or the clock. `listings` renders the responses
that they send. A fake knows S3 and the packages under test, and imports neither tests nor
benchmarks. Stores with the unusual behaviour of real products are in `stores`.
"""
