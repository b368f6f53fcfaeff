"""What is configured of a bucket: how it is reached, and as whom."""

from dataclasses import dataclass, field
from typing import Literal

from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.error_wording import one_line_text

CONNECT_TIMEOUT_SECONDS = 10


READ_TIMEOUT_SECONDS = 60


ANSWER_TIMEOUT_SECONDS = 120
"""Within which an answer must be whole, however steadily it trickles: a page of some 300 kB takes
as long at 2.5 kB a second, at which a listing of any size would never end."""


AddressingStyle = Literal["auto", "path", "virtual"]


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """How to reach one bucket.

    Attributes:
        bucket: The bucket's name.
        endpoint_url: The endpoint of an S3-compatible store; None for AWS.
        region: The bucket's region; None for the credential chain's, else `DEFAULT_REGION`.
        profile: A profile of the shared AWS configuration.
        role_arn: A role to assume with the credentials found; refreshed before it expires.
        external_id: The external id that the role's trust policy asks for.
        anonymous: Send unsigned requests.
        requester_pays: Agree to pay for the requests.
        addressing_style: Where the bucket's name goes in the URL.
        access_key: A fixed access key, for an embedded store only.
        secret_key: Its secret, for an embedded store only.
        max_in_flight: Requests in flight at most, and connections kept alive.
        policy: How the number in flight follows what the store takes.
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
        """The bucket and endpoint as messages name them."""
        return f"bucket {self.bucket!r} at {one_line_text(self.endpoint_url or 'AWS')}"
