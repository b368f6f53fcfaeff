"""S3 Inventory's own files about a date's data files.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

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
