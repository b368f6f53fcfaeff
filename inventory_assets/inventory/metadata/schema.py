"""The schema of metadata: one row for each object, or version, of an inventory.

Names are those of S3 Inventory and S3 Metadata where these have a column of the kind
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-inventory-schema.html).
"""

import pyarrow as pa

_TIME = pa.timestamp("ms", tz="UTC")
_TEXTS = pa.map_(pa.string(), pa.string())

IDENTITY_COLUMNS = ["key", "version_id", "e_tag", "last_modified_date"]
"""The columns that a row has from the listing. Where all of them are equal, a row is carried."""

METADATA_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("e_tag", pa.string()),
        pa.field("last_modified_date", _TIME),
        pa.field("content_type", pa.string()),
        pa.field("content_encoding", pa.string()),
        pa.field("content_language", pa.string()),
        pa.field("content_disposition", pa.string()),
        pa.field("cache_control", pa.string()),
        pa.field("user_metadata", _TEXTS),
        pa.field("encryption_status", pa.string()),
        pa.field("kms_key_arn", pa.string()),
        pa.field("is_bucket_key_enabled", pa.bool_()),
        pa.field("replication_status", pa.string()),
        pa.field("object_lock_mode", pa.string()),
        pa.field("object_lock_retain_until_date", _TIME),
        pa.field("object_lock_legal_hold_status", pa.string()),
        pa.field("archive_status", pa.string()),
        pa.field("is_restore_in_progress", pa.bool_()),
        pa.field("restore_expiry_date", _TIME),
        pa.field("checksum_algorithm", pa.string()),
        pa.field("checksum", pa.string()),
        pa.field("checksum_type", pa.string()),
        pa.field("part_count", pa.int32()),
        pa.field("tag_count", pa.int32()),
        pa.field("object_tags", _TEXTS),
        pa.field("fetched_at", _TIME),
        pa.field("error", pa.string()),
    ]
)

METADATA_DESCRIPTIONS = {
    "key": "The object's key, as in the inventory.",
    "version_id": "The version's id, as in the inventory; null where versions are not listed.",
    "e_tag": "The ETag when it was listed, without quotes.",
    "last_modified_date": "When it was created or last replaced, as listed, UTC.",
    "content_type": "Content-Type.",
    "content_encoding": "Content-Encoding.",
    "content_language": "Content-Language.",
    "content_disposition": "Content-Disposition.",
    "cache_control": "Cache-Control.",
    "user_metadata": "The x-amz-meta- headers by name, without that prefix.",
    "encryption_status": "Server-side encryption: SSE-S3, SSE-KMS, DSSE-KMS or SSE-C; null if none "
    "is told.",
    "kms_key_arn": "The KMS key it is encrypted with.",
    "is_bucket_key_enabled": "Whether an S3 Bucket Key is used with it; null if none is told.",
    "replication_status": "PENDING, COMPLETED, FAILED or REPLICA; null without replication.",
    "object_lock_mode": "GOVERNANCE or COMPLIANCE; null without a retention.",
    "object_lock_retain_until_date": "Until when it is retained, UTC.",
    "object_lock_legal_hold_status": "ON or OFF; null if none is told.",
    "archive_status": "The archive tier of S3 Intelligent-Tiering that it is in.",
    "is_restore_in_progress": "Whether a copy is being restored from an archive; null if none was.",
    "restore_expiry_date": "When the restored copy is removed, UTC.",
    "checksum_algorithm": "The algorithm of its checksum, such as CRC64NVME or SHA256.",
    "checksum": "The checksum, in base64 as S3 tells it.",
    "checksum_type": "FULL_OBJECT, or COMPOSITE of the parts.",
    "part_count": "Parts it was uploaded in; null if it was uploaded whole.",
    "tag_count": "The number of its tags; null if none is told.",
    "object_tags": "Its tags; null where they were not asked for.",
    "fetched_at": "When the bucket was asked, UTC; null where it is still to be asked.",
    "error": "Why something is missing: missing, changed, forbidden, archived, refused, failed; "
    "null where nothing is.",
}
