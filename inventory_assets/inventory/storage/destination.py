"""The bucket and prefix where readers of S3 Inventory find the files of a store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Destination:
    """The place of data files for readers of S3 Inventory.

    Attributes:
        bucket_arn: The ARN of the bucket that holds the results.
        prefix: The prefix of all keys there, with or without a `/` at its end.
    """

    bucket_arn: str
    prefix: str = ""

    def key(self, key: str) -> str:
        """The key of a file of the store in that bucket."""
        return "/".join(part for part in (self.prefix.strip("/"), key) if part)
