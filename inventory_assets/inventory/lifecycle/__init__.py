"""S3 lifecycle rules, and what they would do to the records of an inventory.

The room knows rules, records as Arrow batches, and prices. It must not know where rules or records
come from, and it changes nothing in a bucket.
"""
