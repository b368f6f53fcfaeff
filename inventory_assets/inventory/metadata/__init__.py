"""The metadata of objects that a listing does not show, asked for once and carried from date to date.

It knows records, parts and the answers of a bucket, and nothing of Dagster.
"""
