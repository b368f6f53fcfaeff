"""A published inventory beside the bucket, as it is now.

It lists samples again and says what differs. It publishes nothing.
"""
