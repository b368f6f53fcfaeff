"""Messages for credential errors: which file, token, role or service failed, and what to do."""

import os
import ssl
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import botocore.session
from botocore import exceptions as boto

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.error_wording import code_of, one_line, one_line_text, said, words_of
from inventory_assets.s3.errors import (
    CredentialsMissing,
    CredentialsRefused,
    RequestRejected,
    S3Error,
    TlsFailure,
)

Explanation = tuple[type[S3Error], str]

HOW_TO_GIVE = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is "
    "attached, or add --anonymous (in the configuration: anonymous = true) for a public bucket"
)
NAME_A_PROFILE = (
    "name a profile that exists with --profile (in the configuration: profile) or AWS_PROFILE"
)
_MAX_ROLES = 9
"""Maximum length of a chain of profiles, which may be circular."""


class NoTerminal(Exception):
    """An MFA code is needed, and there is no terminal to ask for it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the configuration says about the credentials, for messages.

    Attributes:
        display_name: The bucket and endpoint.
        profile: The profile in use, or None.
        roles: The roles to assume: of the bucket's configuration, the environment, the profile.
        token_file: The file of a web identity token, or None.
        files: The files that may contain credentials.
    """

    display_name: str
    profile: str | None
    roles: tuple[str, ...]
    token_file: str | None
    files: tuple[Path, ...]

    @classmethod
    def of(cls, session: botocore.session.Session, bucket_config: BucketConfig) -> "Identity":
        """Read it from the session and the bucket's configuration."""
        profile = session.get_config_variable("profile")
        try:
            profiles = session.full_config.get("profiles", {})
        except boto.BotoCoreError:
            profiles = {}
        roles = [bucket_config.role_arn] if bucket_config.role_arn else []
        settings: dict[str, Any] = profiles.get(profile or "default", {})
        token_file = settings.get("web_identity_token_file")
        if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            token_file = os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]
            roles.append(os.environ.get("AWS_ROLE_ARN", ""))
        for _ in range(_MAX_ROLES):
            roles.append(settings.get("role_arn", ""))
            settings = profiles.get(settings.get("source_profile"), {})
        files = [
            Path(os.path.expandvars(session.get_config_variable(name))).expanduser()
            for name in ("credentials_file", "config_file")
        ]
        named = tuple(dict.fromkeys(role for role in roles if role))
        return cls(bucket_config.display_name, profile, named, token_file, tuple(files))

    @property
    def role(self) -> str:
        """The role or roles, for messages."""
        named = " or ".join(one_line_text(role) for role in self.roles) or "of the configuration"
        return f"the role {named}" + (f" (of the profile {self.profile!r})" if self.profile else "")


def credential_error(error: Exception, identity: Identity) -> Explanation:
    """The error class and message for a credential error, without the bucket's name.

    Args:
        error: The exception from loading, fetching or renewing credentials.
        identity: The configuration of the credentials.
    """
    match error:
        case boto.ClientError():
            return _of_service(error, identity)
        case NoTerminal() | EOFError() | boto.RefreshWithMFAUnsupportedError():
            return CredentialsMissing, (
                f"{identity.role} needs an MFA code (mfa_serial), and there is no terminal to ask "
                "for it; give a profile without mfa_serial, or temporary credentials from `aws sts "
                "get-session-token`"
            )
        case boto.NoCredentialsError() if identity.roles:
            return CredentialsMissing, (
                f"no AWS credentials were found to assume {identity.role} with{_unread(identity)}; "
                "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role "
                "is attached"
            )
        case boto.SSOError() | boto.TokenRetrievalError():
            return CredentialsMissing, (
                f"the SSO session is missing or has expired ({one_line(error)}); run "
                f"`aws sso login{_option(identity)}`"
            )
        case boto.LoginError():
            return CredentialsMissing, (
                f"the login is missing or has expired ({one_line(error)}); run "
                f"`aws login{_option(identity)}`"
            )
        case boto.SSLError() | ssl.SSLError():
            return TlsFailure, (
                f"the TLS connection to the service that issues credentials cannot be trusted: "
                f"{one_line(error)}; name its certificate authority's file in AWS_CA_BUNDLE"
            )
        case boto.ConnectionError() | boto.HTTPClientError():
            return RequestRejected, (
                f"the service that issues credentials (STS, SSO or instance metadata) cannot be "
                f"reached: {one_line(error)}; check AWS_ENDPOINT_URL_STS, the region and proxies"
            )
        case boto.NoRegionError():
            return RequestRejected, (
                "STS needs a region; set AWS_REGION or --region (in the configuration: region)"
            )
        case _:
            return CredentialsMissing, _of_files(error, identity)


def no_credentials(identity: Identity) -> str:
    """The message if no credentials were found, without the bucket's name."""
    return f"no usable AWS credentials were found{_unread(identity)}; {HOW_TO_GIVE}"


def _of_service(error: boto.ClientError, identity: Identity) -> Explanation:
    code, operation = code_of(error), error.operation_name
    words = said(code, words_of(error), "SSO" if operation.startswith("GetRole") else "STS")
    token = f"the web identity token in {identity.token_file}"
    role = identity.role
    match operation, code:
        case "GetRoleCredentials", "UnauthorizedException":
            text = f"the SSO session has expired; run `aws sso login{_option(identity)}` ({words})"
        case "GetRoleCredentials", _:
            text = (
                f"SSO refuses the role of the profile {identity.profile!r}; check its "
                f"sso_account_id and sso_role_name, and the roles assigned to you ({words})"
            )
        case "AssumeRoleWithWebIdentity", "ExpiredTokenException" | "ExpiredToken":
            text = f"{token} has expired; renew it ({words})"
        case "AssumeRoleWithWebIdentity", "IDPCommunicationError":
            text = (
                f"STS cannot reach the issuer of {token}, which is used to assume {role} ({words})"
            )
        case "AssumeRoleWithWebIdentity", _:
            text = (
                f"{role} refuses {token}; its trust policy must allow "
                "sts:AssumeRoleWithWebIdentity to the token's issuer, audience and subject "
                f"({words})"
            )
        case "AssumeRole", "ExpiredToken" | "ExpiredTokenException":
            text = f"the credentials to assume {role} with have expired; renew them ({words})"
        case "AssumeRole", (
            "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch"
        ):
            text = (
                f"STS refuses the credentials to assume {role} with; check the access key, its "
                f"secret and this machine's clock ({words})"
            )
        case "AssumeRole", "RegionDisabledException":
            text = (
                "STS is not activated in the region; choose another with AWS_REGION or --region "
                f"(in the configuration: region) ({words})"
            )
        case "AssumeRole", _:
            text = (
                f"{role} cannot be assumed; check its name, its trust policy and external id, and "
                f"that the credentials may call sts:AssumeRole on it ({words})"
            )
        case _:
            text = f"credentials cannot be fetched by {one_line_text(operation)} ({words})"
    return CredentialsRefused, text


def _of_files(error: Exception, identity: Identity) -> str:
    token, text = identity.token_file, one_line(error)
    file = getattr(error, "filename", None)
    match error:
        case OSError() if token and str(file) == token:
            return (
                f"the web identity token file {token} cannot be read: {error.strerror}; correct "
                "AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file"
            )
        case UnicodeDecodeError() if token:
            return f"the web identity token file {token} is not text; write it again"
        case boto.ParamValidationError() if token and "WebIdentityToken" in text:
            return (
                f"the web identity token file {token} contains no token; write it again, or "
                "correct AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file"
            )
        case boto.ParamValidationError() if identity.roles:
            return f"{identity.role} cannot be requested: {text}; correct its ARN"
        case boto.ConfigParseError():
            return config_words(error)
        case boto.ProfileNotFound():
            return f"{text}; {NAME_A_PROFILE}"
        case boto.CredentialRetrievalError() if "process" in text:
            return f"the credential_process of the profile failed: {text}; run it alone to see why"
        case JSONDecodeError() | UnicodeDecodeError() | KeyError() | TypeError() | AttributeError():
            # The output is not repeated: it may contain a secret.
            return (
                "a credential_process or a credential service returned no credentials (expected "
                "JSON with Version, AccessKeyId and SecretAccessKey); run the command of "
                "credential_process alone to see why"
            )
        case OSError():
            of_file = f" ({file})" if file else ""
            return (
                f"credentials cannot be read{of_file}: {error.strerror or text}; check the paths "
                "of credential_process, web_identity_token_file and the AWS configuration"
            )
        case _:
            return f"no usable AWS credentials: {text}{_unread(identity)}; {HOW_TO_GIVE}"


def config_words(error: boto.ConfigParseError) -> str:
    """Describe an invalid AWS configuration file, without repeating its lines."""
    path, cause = error.kwargs.get("path"), error.kwargs.get("error")
    line = getattr(cause, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    return f"the AWS configuration {path} is not valid{where}; correct it"


def _option(identity: Identity) -> str:
    return f" --profile {identity.profile}" if identity.profile else ""


def _unread(identity: Identity) -> str:
    """The credential files that exist and cannot be read, for a message."""
    unread = [
        str(path)
        for path in identity.files
        if path.is_dir() or (path.exists() and not os.access(path, os.R_OK))
    ]
    return f" ({' and '.join(unread)} cannot be read)" if unread else ""
