"""Load credentials through botocore's chain, and separate their errors from the bucket's.

Errors of the chain, STS or SSO are raised as `CredentialsFailed`, with a message for the user
(`credential_errors.py`), so that an AccessDenied from STS is not mistaken for one from S3.
"""

import errno
import getpass
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import botocore.session
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
    create_credential_resolver,
)
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.credential_errors import Identity, NoTerminal, credential_error
from inventory_assets.s3.error_wording import code_of
from inventory_assets.s3.errors import S3Error

DEFAULT_REGION = "us-east-1"
"""For endpoints without regions; AWS redirects from here to the bucket's region."""

# AWS_REGION takes precedence, as in the AWS CLI; botocore does not read it
# (https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html).
_SESSION_VARIABLES = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}

_STALE = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Codes with which STS rejects the source credentials; the files may have newer ones."""

_MACHINE_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM})
"""Errors of this machine, unrelated to credentials."""


class CredentialsFailed(BotoCoreError):
    """Credentials could not be loaded, fetched or renewed.

    Attributes:
        error: What botocore, STS or SSO raised.
        user_error: The error for the user, if a retry cannot help.
    """

    fmt = "{words}"

    def __init__(self, error: Exception, user_error: S3Error, words: str) -> None:
        super().__init__(words=words)
        self.error = error
        self.user_error = user_error


def open_session(bucket_config: BucketConfig) -> botocore.session.Session:
    """Open a session for `bucket_config`; credentials are loaded on first use.

    Raises:
        ProfileNotFound: The profile does not exist.
    """
    session = botocore.session.Session(_SESSION_VARIABLES, profile=bucket_config.profile)
    session.register_component("credential_provider", _Chain(session, bucket_config))
    return session


def session_region(session: botocore.session.Session, bucket_config: BucketConfig) -> str:
    """The configured region, or the default."""
    return str(bucket_config.region or session.get_config_variable("region") or DEFAULT_REGION)


class _Chain:
    """botocore's chain of providers, followed by the role of the bucket's configuration."""

    def __init__(self, session: botocore.session.Session, bucket_config: BucketConfig) -> None:
        self._session = session
        self._bucket_config = bucket_config

    def load_credentials(self) -> "_TranslatedCredentials | None":
        identity = Identity.of(self._session, self._bucket_config)
        load = partial(_load, self._bucket_config)
        found = _translating_errors(identity, lambda: _load(self._bucket_config, self._session))
        return None if found is None else _TranslatedCredentials(found, identity, load)


class _TranslatedCredentials:
    """Wraps credentials: translates their errors, and reloads stale source credentials once.

    botocore and this project call `get_frozen_credentials`; other attributes are delegated.
    """

    def __init__(self, found: Any, identity: Identity, load: Callable[[], Any]) -> None:
        self._found = found
        self._identity = identity
        self._load = load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def get_frozen_credentials(self) -> Any:
        return _translating_errors(self._identity, self._freeze)

    def _freeze(self) -> Any:
        try:
            return self._found.get_frozen_credentials()
        except ClientError as error:
            if error.operation_name != "AssumeRole" or code_of(error) not in _STALE:
                raise
            # The file may have been rewritten since it was read: load the source again, once.
            found = self._load()
            if found is None:
                raise
            self._found = found
        return self._found.get_frozen_credentials()


def _translating_errors(identity: Identity, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (CredentialsFailed, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
            raise
        kind, words = credential_error(error, identity)
        raise CredentialsFailed(error, kind(f"{identity.display_name}: {words}"), words) from None


def _load(bucket_config: BucketConfig, session: botocore.session.Session | None = None) -> Any:
    """Load credentials; None if there are none."""
    if session is None:
        session = botocore.session.Session(_SESSION_VARIABLES, profile=bucket_config.profile)
    region = session_region(session, bucket_config)
    if bucket_config.role_arn is None:
        return _resolved(session, region)
    source = _Source(bucket_config, _resolved(session, region))
    extra = {"RoleSessionName": "inventory-assets"}
    if bucket_config.external_id:
        extra["ExternalId"] = bucket_config.external_id
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.create_client, region_name=region), source, bucket_config.role_arn, extra
    )
    return CredentialResolver([_AssumedRole(fetcher)]).load_credentials()


def _resolved(session: botocore.session.Session, region: str) -> Any:
    """The credentials found by botocore's chain, or None."""
    resolver = create_credential_resolver(session, region_name=region)
    for provider in resolver.providers:
        if "_prompter" in vars(provider):
            vars(provider)["_prompter"] = _ask
    return resolver.load_credentials()


class _Source:
    """The credentials to assume a role with, loaded again each time, as they may rotate."""

    def __init__(self, bucket_config: BucketConfig, found: Any) -> None:
        if found is None:
            raise NoCredentialsError
        self._bucket_config = bucket_config
        self._found = found

    def get_frozen_credentials(self) -> Any:
        if self._found is None:
            self._found = _load(replace(self._bucket_config, role_arn=None))
        if self._found is None:
            raise NoCredentialsError
        frozen, self._found = self._found.get_frozen_credentials(), None
        return frozen


class _AssumedRole(CredentialProvider):
    METHOD = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def _ask(prompt: str) -> str:
    """Ask for an MFA code, if there is a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise NoTerminal
    return getpass.getpass(prompt)
