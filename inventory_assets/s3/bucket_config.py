"""Configuration of one bucket: endpoint, region, credentials, concurrency."""

from dataclasses import dataclass, field
from typing import Literal

from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.error_wording import one_line_text

CONNECT_TIMEOUT_SECONDS = 10


READ_TIMEOUT_SECONDS = 60


RESPONSE_TIMEOUT_SECONDS = 120
"""Total time for one response, even if bytes keep arriving. A page of 300 kB takes this long at
2.5 kB/s, too slow to finish a listing of any size."""


AddressingStyle = Literal["auto", "path", "virtual"]


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """How to reach one bucket.

    Attributes:
        bucket: The bucket's name.
        endpoint_url: The endpoint of an S3-compatible store; None for AWS.
        region: The bucket's region; None for the configured one, or `DEFAULT_REGION`.
        profile: A profile of the shared AWS configuration.
        role_arn: A role to assume with the credentials found; refreshed before it expires.
        external_id: The external id that the role's trust policy asks for.
        anonymous: Send unsigned requests.
        requester_pays: Send `x-amz-request-payer: requester`.
        addressing_style: Whether the bucket's name is in the path or the host of the URL.
        access_key: A fixed access key, for an embedded store only.
        secret_key: Its secret, for an embedded store only.
        max_in_flight: Maximum number of requests in flight, and of connections kept alive.
        policy: How the limit of requests in flight is adjusted.
    """

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    addressing_style: AddressingStyle = "auto"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    max_in_flight: int = 32
    policy: PolicyName = PolicyName.ADAPTIVE

    @property
    def display_name(self) -> str:
        """The bucket and endpoint, as shown in messages."""
        return f"bucket {self.bucket!r} at {one_line_text(self.endpoint_url or 'AWS')}"
