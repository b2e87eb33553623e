"""Turns boto3's errors into ours; no other module does."""

import re
from collections.abc import Mapping

from strax_core import (
    AccessDenied,
    ConfigError,
    DataCorrupted,
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_s3.sdk import exceptions

_Meaning = tuple[type[StorageError], str]

NO_S3 = "was answered by something that is no S3 server: mend `endpoint_url`"
_UNTRUSTED = re.compile(
    r"certificate verify failed: (?P<by_python>[^()]+)|(?P<by_urllib3>hostname .+ doesn't match .+)"
)
"""What is wrong with a certificate: too old, of another host, of an unknown authority."""
_NO_TLS = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST")

_FOREIGN: _Meaning = (StorageUnavailable, NO_S3)
_MISSING: _Meaning = (ObjectMissing, "is not there")
_EXISTS: _Meaning = (ObjectExists, "is there already")
_FULL: _Meaning = (StorageFull, "did not fit: the quota or the storage is full")
_BUSY: _Meaning = (StorageUnavailable, "was put off: the server is busy or broken")
_DENIED: _Meaning = (
    AccessDenied,
    "may not be used: ask for permission, or give the place readonly = true if you only read",
)
_KEY: _Meaning = (
    AccessDenied,
    "was refused: the server does not know the access key; check the credentials (`strax doctor`)",
)
_SECRET: _Meaning = (
    AccessDenied,
    "was refused: the secret does not belong to the access key; check the credentials",
)
_EXPIRED: _Meaning = (AccessDenied, "was refused: the credentials have expired; renew them")
_REGION: _Meaning = (ConfigError, "lies in another region; set `region`")
_MOVED: _Meaning = (
    ConfigError,
    "was answered with a redirect: mend `endpoint_url` (is it https?) or set `region`",
)
_BUCKET: _Meaning = (
    StorageUnavailable,
    "is not reached: there is no such bucket; make it, or mend its name",
)
_REQUEST: _Meaning = (ConfigError, "cannot be done on this server")
_CODES: Mapping[str, _Meaning] = {
    "NoSuchKey": _MISSING,
    "NoSuchBucket": _BUCKET,
    "NoSuchUpload": (StorageUnavailable, "is an upload that is not there any more"),
    "PreconditionFailed": _EXISTS,
    "InvalidRange": (DataCorrupted, "ends before what was asked for"),
    "InvalidAccessKeyId": _KEY,
    "SignatureDoesNotMatch": _SECRET,
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "InvalidObjectState": (
        AccessDenied,
        "lies in an archive and must be restored first: keep such data in another storage class",
    ),
    "RequestTimeTooSkewed": (AccessDenied, "was refused: set the clock of this machine"),
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "EntityTooLarge": (StorageFull, "is larger than the server takes"),
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidBucketName": (ConfigError, "lies in a bucket whose name cannot be"),
    "KeyTooLongError": (ConfigError, "is too long a name for this server"),
    "NotImplemented": _REQUEST,
    # These come with status 400, and are worth another try.
    "RequestTimeout": _BUSY,
    "BadDigest": (StorageUnavailable, "was hurt on the way"),
    "XAmzContentSHA256Mismatch": (StorageUnavailable, "was hurt on the way"),
    "IncompleteBody": (StorageUnavailable, "was cut off on the way"),
    # Another conditional write of the same key is under way: this one was neither done nor lost.
    "ConditionalRequestConflict": _BUSY,
    "OperationAborted": _BUSY,
}
_STATUS: Mapping[int, _Meaning] = {
    **dict.fromkeys((301, 302, 307, 308), _MOVED),
    403: _DENIED,
    404: _MISSING,
    408: _BUSY,
    409: _BUSY,
    412: _EXISTS,
    416: _CODES["InvalidRange"],
    429: _BUSY,
    501: _REQUEST,
    507: _FULL,
}
_OTHERS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Meaning], ...] = (
    (
        (exceptions.NoCredentialsError, exceptions.PartialCredentialsError),
        (
            AccessDenied,
            "needs credentials, and there are none: see `aws configure`, or set access_key_id",
        ),
    ),
    (
        (exceptions.CredentialRetrievalError, exceptions.TokenRetrievalError),
        (AccessDenied, "needs credentials, and boto3 could not get them"),
    ),
    (
        exceptions.SSOError,
        (AccessDenied, "needs a sign-on, and there is none that is valid: see `aws sso login`"),
    ),
    (
        (exceptions.ConfigParseError, exceptions.ConfigNotFound, exceptions.InvalidConfigError),
        (ConfigError, "needs the files of `aws configure`, and one of them cannot be read"),
    ),
    (
        (exceptions.EndpointProviderError, exceptions.UnknownEndpointError),
        (
            ConfigError,
            "cannot be: mend `endpoint_url`, as in https://s3.example.org, or the bucket's name",
        ),
    ),
    (exceptions.ProfileNotFound, (ConfigError, "needs a profile that is not in AWS's files")),
    (exceptions.ParamValidationError, (ConfigError, "has a name or an option that cannot be")),
    (
        (exceptions.NoRegionError, exceptions.InvalidRegionError),
        (ConfigError, "needs a region: set `region`"),
    ),
)
_SILENT: _Meaning = (StorageUnavailable, "got no answer: is the server up, and the network?")
_TLS: _Meaning = (
    ConfigError,
    "was not asked: the server's certificate is not trusted; set `ca_bundle` if it is your own",
)
_PLAIN: _Meaning = (
    ConfigError,
    "was not asked: the server does not speak TLS there; should `endpoint_url` say http://?",
)


_NO_CODE = ("", "404")
"""What boto3 says if the body holds no code; every S3 server says there what is not there."""
_WITHOUT_BODY = "HeadObject"


def is_worth_a_retry(error: Exception) -> bool:
    """Say whether the same request may be answered otherwise soon."""
    meaning = _meaning(error)
    is_certain = meaning in (_BUCKET, _FOREIGN, _CODES["NoSuchUpload"])
    return meaning[0] is StorageUnavailable and not is_certain


def translated(error: Exception, what: str) -> StorageError:
    """Return our error about `what`, which names bucket and endpoint, for one of the SDK's."""
    kind, text = _meaning(error)
    return kind(f"{what} {text} ({_told(error)})")


def _meaning(error: Exception) -> _Meaning:
    if isinstance(error, exceptions.ClientError):
        return _meaning_of_answer(error)
    for kinds, meaning in _OTHERS:
        if isinstance(error, kinds):
            return meaning
    if isinstance(error, exceptions.SSLError):
        if _UNTRUSTED.search(str(error)):
            return _TLS
        if _NO_TLS.search(str(error)):
            return _PLAIN
    return _SILENT


def _meaning_of_answer(error: exceptions.ClientError) -> _Meaning:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _CODES:
        return _CODES[code]
    if (
        _STATUS.get(status) is _MISSING
        and code in _NO_CODE
        and error.operation_name != _WITHOUT_BODY
    ):
        return _FOREIGN
    if status in _STATUS:
        return _STATUS[status]
    return _BUSY if status >= 500 else _REQUEST  # noqa: PLR2004 - errors of the server


def _told(error: Exception) -> str:
    """Return what the SDK says, without what a request held: only its code, or its kind."""
    if isinstance(error, exceptions.ClientError):
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "?")
        return f"{told.get('Code') or 'no code'}, status {status}"
    untrusted = _UNTRUSTED.search(str(error)) if isinstance(error, exceptions.SSLError) else None
    return type(error).__name__ if untrusted is None else str(untrusted[untrusted.lastgroup or 0])
