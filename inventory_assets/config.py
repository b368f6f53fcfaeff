"""The configuration file: which buckets to inventory, how and when, and where the results go.

One TOML file, `inventory.toml`, is read at the edge of the program by `load_config` and handed
down as frozen, typed values. All its mistakes are reported at once, each with its place and its
remedy. Secrets have no place in the file, and no message repeats one.
"""

import datetime as dt
import difflib
import json
import os
import re
import tomllib
import zoneinfo
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from inventory_assets.errors import InventoryError

CONFIG_FILE = "inventory.toml"
CONFIG_VARIABLE = "INVENTORY_CONFIG"
DEFAULT_STORE = "data/inventory"
DEFAULT_CRON = "0 1 * * *"
MAX_PREFIX_BYTES = (
    1024  # the longest key: docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys
)

# By field: the pattern its text has to match, an example, and the pattern in words.
_FORMS = {
    "bucket": (
        r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$",
        "acme-logs",
        "3 to 63 letters, digits, '.', '-' and '_', with a letter or digit at both ends",
    ),
    "endpoint_url": (
        r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$",
        "http://127.0.0.1:9000",
        "http:// or https://, a host, a port where needed, and no path",
    ),
    "region": (r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", "eu-west-1", "letters, digits and '-'"),
    "profile": (r"\S", "prod", "the name of an AWS profile"),
    "role_arn": (
        r"^arn:[a-z0-9-]+:iam::[0-9A-Za-z]*:role/\S{1,512}$",
        "arn:aws:iam::123456789012:role/inventory",
        "the ARN of an IAM role",
    ),
    "external_id": (
        r"^[A-Za-z0-9+=,.@:/_-]{2,1224}$",
        "inventory-42",
        "2 to 1224 letters, digits and characters of '+=,.@:/_-'",
    ),
}
_TYPES = {
    "bool_type": "true or false",
    "date_type": "a date without a time and without quotes",
    "string_type": "a text in quotes",
}
_NO_SECRETS = (
    "secrets do not belong in the file; remove it, and use the environment or the AWS credential"
    " chain (a profile, a role)"
)
_SECRET_NAME = re.compile(r"(?i)secret|passw|token|credential|(access|api|private)[_-]?key")
_SECRET_TEXT = re.compile(r"(?s)://.*[@?]|A[KS]IA[A-Z0-9]{12}")

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class ConfigError(InventoryError):
    """The configuration cannot be used; the message lists each mistake on a line of its own."""


def _form(field: str) -> Any:
    pattern, example, _ = _FORMS[field]
    return Field(pattern=pattern, examples=[example])


class _Table(BaseModel):
    # Strict, because a "2" or a 1 where a number or a true belongs is a mistake worth showing.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class Shards(_Table):
    """How a source is cut into shards, each a partition that is listed on its own."""

    depth: Annotated[int, Field(ge=0, le=10)] = 1
    """Levels of the delimiter '/' to discover prefixes on; 0 lists the source as one shard."""
    max_shards: Annotated[int, Field(ge=1, le=10_000)] = 256
    """The most shards a source may have; discovery stops with an error above it."""
    min_objects: Annotated[int, Field(ge=0)] = 0
    """A prefix with fewer objects in the last manifest gets no shard of its own."""
    split_objects: Annotated[int, Field(ge=1)] = 5_000_000
    """A prefix with more objects in the last manifest is split one level further."""


class Schedule(_Table):
    """When a source is inventoried."""

    cron: str = DEFAULT_CRON
    """When the daily inventory starts: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """The IANA time zone of `cron` and of the date partitions."""
    start_date: dt.date = dt.date(2026, 1, 1)
    """The first date partition."""
    sensor_interval_seconds: Annotated[int, Field(ge=30)] = 300
    """Seconds between two looks for new prefixes."""

    @field_validator("cron")
    @classmethod
    def _cron_is_one_dagster_runs(cls, cron: str) -> str:
        if cron == DEFAULT_CRON:
            return cron
        # Importing Dagster takes seconds, which the CLI should not wait for.
        from dagster._utils.schedules import is_valid_cron_string

        if len(cron.split()) != 5 or not is_valid_cron_string(cron):
            raise ValueError(
                f"found {_found(cron)}, expected the five fields of cron: minute, hour, day of"
                f' month, month, day of week; write for example cron = "{DEFAULT_CRON}"'
            )
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        if timezone != "UTC" and timezone not in (known := zoneinfo.available_timezones()):
            remedy = _suggestion(timezone, known) or 'write for example timezone = "UTC"'
            raise ValueError(
                f"found {_found(timezone)}, expected the name of an IANA time zone; {remedy}"
            )
        return timezone


class SourceTable(_Table):
    """What the file may say of a source: one bucket, or the keys with one prefix in it."""

    model_config = ConfigDict(title="Source")

    bucket: Annotated[str, _form("bucket")]
    """The bucket's name."""
    prefix: str = ""
    """Only keys that start with this prefix are inventoried."""
    endpoint_url: Annotated[str | None, _form("endpoint_url")] = None
    """The address of an S3-compatible store; AWS is asked where there is none."""
    region: Annotated[str | None, _form("region")] = None
    """The bucket's region; the AWS configuration chain gives it where there is none."""
    profile: Annotated[str | None, _form("profile")] = None
    """The AWS profile to take credentials from."""
    role_arn: Annotated[str | None, _form("role_arn")] = None
    """The role to assume before listing."""
    external_id: Annotated[str | None, _form("external_id")] = None
    """The external ID that the role's trust policy asks for; only with `role_arn`."""
    anonymous: bool = False
    """Whether to send unsigned requests, as public buckets allow; excludes all credentials."""
    requester_pays: bool = False
    """Whether to accept that the requester pays for the requests."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where requests name the bucket: in the path or in the host name; 'auto' chooses."""
    key_order: Literal["auto", "bytes", "directory"] = "auto"
    """The order the store lists keys in: UTF-8 byte order, or folder by folder; 'auto' detects."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    """The most requests in flight for this source in one process."""
    shards: Shards = Shards()
    """How the source is cut into shards."""
    schedule: Schedule = Schedule()
    """When the source is inventoried."""

    # Checks across fields read the fields declared above theirs, rather than the finished model,
    # which exists only when nothing else is wrong: all mistakes are to be listed at once.

    @field_validator("bucket", mode="before")
    @classmethod
    def _bucket_can_be_listed_in_order(cls, bucket: object) -> object:
        if not isinstance(bucket, str):
            return bucket
        if bucket.startswith("arn:"):
            expected = "a bucket's name: ARNs and access points are not supported; name the bucket"
        elif "://" in bucket:
            expected = "a bucket's name alone; put what follows the name into 'prefix'"
        elif bucket.endswith(("--x-s3", "--xa-s3")):
            expected = (
                "a general purpose bucket: directory buckets do not list their keys in order and"
                " are not supported yet; name another bucket"
            )
        elif ".." in bucket or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", bucket):
            expected = "a bucket name without '..' that is not an IP address; correct the name"
        else:
            return bucket
        raise ValueError(f"found {_found(bucket)}, expected {expected}")

    @field_validator("prefix")
    @classmethod
    def _prefix_is_no_longer_than_a_key(cls, prefix: str) -> str:
        if (size := len(prefix.encode())) > MAX_PREFIX_BYTES:
            raise ValueError(
                f"found {size} bytes, expected at most {MAX_PREFIX_BYTES} bytes of UTF-8, the"
                " length of the longest key; shorten the prefix"
            )
        return prefix

    @field_validator("endpoint_url", mode="before")
    @classmethod
    def _endpoint_holds_no_secret(cls, url: object) -> object:
        if isinstance(url, str) and "@" in url:
            raise ValueError(f"found a user name or password, expected none; {_NO_SECRETS}")
        return url

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_port_exists(cls, url: str | None) -> str | None:
        port = re.search(r":(\d+)/?$", url or "")
        if port and not 1 <= int(port[1]) <= 65_535:
            raise ValueError(f"found port {port[1]}, expected 1 to 65535; correct the port")
        return url and url.rstrip("/")

    @field_validator("external_id")
    @classmethod
    def _external_id_has_a_role(cls, external_id: str | None, info: ValidationInfo) -> str | None:
        if external_id is not None and info.data.get("role_arn", "mistaken") is None:
            raise ValueError("found without role_arn, expected with it; add role_arn or remove it")
        return external_id

    @field_validator("anonymous")
    @classmethod
    def _anonymous_has_no_identity(cls, anonymous: bool, info: ValidationInfo) -> bool:
        names = ("profile", "role_arn", "external_id")
        if given := ", ".join(name for name in names if anonymous and info.data.get(name)):
            raise ValueError(
                f"found true together with {given}, expected unsigned requests to come without an"
                f" identity; remove {given} or set anonymous = false"
            )
        return anonymous


class Source(SourceTable):
    """One bucket, or the keys with one prefix in it, and how it is inventoried."""

    name: SourceName
    """The source's name: the key of its table in the file."""
    demo: bool = False
    """Whether this is the embedded demo, which no file can say of a source."""


class _File(_Table):
    """What to inventory, how and when, and where the results go."""

    model_config = ConfigDict(title=CONFIG_FILE)

    store: str = DEFAULT_STORE
    """The folder for results; relative to the folder of this file."""
    sources: Annotated[
        dict[SourceName, SourceTable],
        Field(min_length=1, json_schema_extra={"additionalProperties": False}),
    ]
    """The buckets to inventory, by source name."""

    @field_validator("store")
    @classmethod
    def _store_is_a_local_folder(cls, store: str) -> str:
        if "://" in store:
            found, why = (
                f"the address {store.partition('://')[0]}://...",
                "this version writes results to a local folder",
            )
        elif not store.strip() or store.startswith("~") or "\0" in store:
            found, why = _found(store), "one that is not empty and not in '~'"
        else:
            return store
        raise ValueError(
            f"found {found}, expected the path of a folder: {why};"
            f' write for example store = "{DEFAULT_STORE}"'
        )


class Config(_Table):
    """The configuration: where results go, and what to inventory."""

    store: Path
    """The absolute path of the folder for results."""
    sources: Mapping[str, Source]
    """The sources by name, in the order of the file."""


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration file; raise ConfigError with all its mistakes.

    The file is `path`; without it, the one that INVENTORY_CONFIG names in `environ`; without that,
    `inventory.toml` in the working directory. Where that does not exist, the embedded demo is
    returned.
    """
    if path is None and (named := environ.get(CONFIG_VARIABLE)):
        path = Path(named)
    if path is None:
        path = Path(CONFIG_FILE)
        if not (path.exists() or path.is_symlink()):
            demo = Source(name="demo", demo=True, bucket="demo-bucket", shards=Shards(depth=2))
            return Config(store=Path(DEFAULT_STORE).absolute(), sources={"demo": demo})
    document = _parse(path)
    mistakes = []
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        mistakes = [f"{path}: {_mistake(detail)}" for detail in error.errors(include_url=False)]
    if mistakes:  # raised out here, where no cause is attached that holds the file's values
        raise ConfigError("\n".join(mistakes))
    sources = {name: Source(name=name, **dict(table)) for name, table in file.sources.items()}
    return Config(store=path.absolute().parent / file.store, sources=sources)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    schema = _File.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _EditorSchema(GenerateJsonSchema):
    """JSON Schema without null, which TOML does not have: an absent field is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _parse(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark first
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = f"found no such file, expected one; create it, or correct {CONFIG_VARIABLE}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}), expected a file that this user may read"
    except UnicodeDecodeError as error:
        problem = f"found byte {error.start} not to be UTF-8, expected UTF-8 text; save it as UTF-8"
    except ValueError as error:  # TOMLDecodeError, or what int() says of an endless number
        last_line, last_column = text.count("\n") + 1, len(text) - text.rfind("\n")
        end = f"line {last_line}, column {last_column}, the end)"
        place = str(error).replace("end of document)", end)
        problem = f"found a mistake in the TOML: {place}; correct the file there"
    raise ConfigError(f"{path}: {problem}")


def _mistake(error: ErrorDetails) -> str:
    """Say in one line where a mistake is, what was found, what is expected and what to do."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    path = [str(part) for part in error["loc"]]
    where = ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
        for part in path
        if part != "[key]"
    )
    field, known = path[-1], _TABLES.get((len(path), *path[2:-1]), _File).model_fields
    if _SECRET_NAME.search(field) and (kind == "extra_forbidden" or not isinstance(value, dict)):
        return f"{where}: {_NO_SECRETS}"
    if kind == "extra_forbidden":
        return f"{where}: found an unknown field; {_advice(field, known)}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind in {"dict_type", "model_type"}:
        # What stands in a table's place may be anything, a secret too, so it is not shown.
        return f"{where}: found no table, expected one; write [{where}] and its fields below it"
    if field == "[key]":
        return (
            f"{where}: found {_found(value)}, expected a name of 1 to 40 lower-case letters, digits"
            " and '_' that starts with a letter, as assets are named for it; rename the source"
        )
    if field == "sources":
        return f"{where}: found no source, expected one or more; add a table [sources.<name>]"
    info = known[field]
    bounds = [
        str(getattr(item, end))
        for end in ("ge", "le")
        for item in info.metadata
        if hasattr(item, end)
    ]
    if kind in _TYPES:
        expected = _TYPES[kind]
    elif bounds:
        expected = f"a whole number from {' to '.join(bounds)}{' up' * (len(bounds) == 1)}"
    else:
        expected = context["expected"] if kind == "literal_error" else _FORMS[field][2]
    example = info.examples[0] if info.examples else info.default
    sample = str(example) if isinstance(example, dt.date) else json.dumps(example)
    found = "nothing" if kind == "missing" else _found(value)
    return f"{where}: found {found}, expected {expected}; write for example {field} = {sample}"


# By the length of a field's path, and what stands in it between the source's name and the field.
_TABLES: dict[tuple[int | str, ...], type[BaseModel]] = {
    (3,): SourceTable,
    (4, "shards"): Shards,
    (4, "schedule"): Schedule,
}


def _advice(field: str, known: Iterable[str]) -> str:
    """Say what to do about a field that its table does not know."""
    if field in _File.model_fields:
        return "it belongs at the top of the file, above the first table"
    for (_, *inner), table in _TABLES.items():
        if field in table.model_fields:
            return f"it belongs in [{'.'.join(['sources.<name>', *map(str, inner)])}]"
    return _suggestion(field, known) or f"remove it, or use one of {', '.join(known)}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def _found(value: object) -> str:
    """Name a value of the file, with its type; what may be a secret is not shown."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str() if _SECRET_TEXT.search(value):
            return "a text that may hold a secret (not shown)"
        case str():
            return (
                f"the text {value!r}" if len(value) <= 80 else f"a text of {len(value)} characters"
            )
        case dt.datetime():
            return f"the date and time {value}"
        case dt.date():
            return f"the date {value}"
    return "a table" if isinstance(value, dict) else "a list or a time"
