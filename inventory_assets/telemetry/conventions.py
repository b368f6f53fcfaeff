"""The names of attributes and metrics.

Names without `inventory.` are those of OpenTelemetry's semantic conventions for HTTP clients, the
AWS SDK, S3 and processes (https://opentelemetry.io/docs/specs/semconv/). Their `url.full`, and
`aws.s3.key` with its relatives, are left out on purpose: they hold keys or prefixes.
"""

SCOPE = "inventory_assets"
"""The name of the tracer and of the meter."""

SERVICE_NAME = "inventory-assets"
"""The `service.name`, where the environment names none."""

DAGSTER_RUN = "dagster.run_id"
SOURCE = "inventory.source"
DATES = "inventory.dates"
SHARD = "inventory.shard.index"
RANGE = "inventory.range.index"
KEYS = "inventory.keys"
REQUESTS = "inventory.requests"
PAGE_REASON = "inventory.page.reason"

AWS_REQUEST_ID = "aws.request_id"
BUCKET = "aws.s3.bucket"
ERROR_TYPE = "error.type"
METHOD = "http.request.method"
RESPONSE_BYTES = "http.response.body.size"
RPC_METHOD = "rpc.method"
RPC_SERVICE = "rpc.service"
RPC_SYSTEM = "rpc.system"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
STATUS = "http.response.status_code"

OTHER_ERROR = "_OTHER"
"""The `error.type` of an error without a kind and without a status."""
