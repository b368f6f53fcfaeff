"""What a listing does not show of objects: asked for once, and carried from date to date.

It knows records, parts and the answers of a bucket, and nothing of Dagster.
"""
