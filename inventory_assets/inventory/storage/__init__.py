"""Where results lie: keys to bytes, atomically, in a folder or in a bucket.

It knows which names there are (`layout`) and how writers stay out of each other's way. It knows
neither what a record says nor what Parquet is.
"""
