"""Where readers of S3 Inventory look for the files of a store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Destination:
    """Where readers of S3 Inventory look for data files.

    Attributes:
        bucket_arn: The ARN of the bucket that holds the results.
        prefix: What the keys of all results start with there; a `/` at its end changes nothing.
    """

    bucket_arn: str
    prefix: str = ""

    def key(self, key: str) -> str:
        """The key, in that bucket, of a file of the store."""
        return "/".join(part for part in (self.prefix.strip("/"), key) if part)
