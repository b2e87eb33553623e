"""Checks of a bucket by `strax doctor`, beside those of every place."""

import secrets
import time
from collections.abc import Iterator
from functools import partial

from strax_core import STAGING, AccessDenied, Check, ConfigError
from strax_s3.body import Joined
from strax_s3.client import Bucket, server_time
from strax_s3.errors import translated
from strax_s3.listing import one_page
from strax_s3.sdk import SDK_ERRORS

CLOCK_TOLERANCE_S = 60.0
"""Of the 15 minutes after which a server refuses; a clock that is off drifts further."""
_WRONG_MD5 = Joined([b"other bytes"]).md5()


def reach_checks(bucket: Bucket, root: str) -> Iterator[Check]:
    """Iterate over what must be well before anything else can be, until something is not."""
    for name, action in (("credentials", _credentials), ("bucket", _bucket), ("clock", _clock)):
        yield (check := Check.of(name, partial(action, bucket, root)))
        if not check.is_good:
            return


def _credentials(bucket: Bucket, _: str) -> str:
    if bucket.options.access_key_id is not None:
        return f"from {bucket.options.access_key_id!r}"
    found = bucket.client._request_signer._credentials  # noqa: SLF001 - boto3 tells it nowhere else
    if found is None:
        raise AccessDenied("there are none; see `aws configure`, or set access_key_id")
    return f"found by boto3: {found.method}"


def _bucket(bucket: Bucket, root: str) -> str:
    one_page(bucket, root, MaxKeys=1)
    return f"{bucket.named('')} answers"


def _clock(bucket: Bucket, root: str) -> str:
    off_s = time.time() - server_time(one_page(bucket, root, MaxKeys=1)).timestamp()
    if abs(off_s) > CLOCK_TOLERANCE_S:
        raise ConfigError(f"this machine is {off_s:+.0f} s off the server's clock: set it")
    return f"within {CLOCK_TOLERANCE_S:g} s of the server's"


def checksums(bucket: Bucket, root: str) -> str:
    """See whether the server compares what it got with a checksum; ours are compared anyway."""
    key = f"{root}{STAGING}/checksum-{secrets.token_hex(8)}"

    try:
        bucket.client.put_object(
            Bucket=bucket.options.bucket, Key=key, Body=b"bytes", ContentMD5=_WRONG_MD5
        )
    except SDK_ERRORS as error:
        if "Digest" in str(error):
            return "the server refuses bytes that were hurt on the way"
        raise translated(error, bucket.named(key)) from error
    bucket.ask("delete_object", key)
    return "the server takes bytes that were hurt on the way; reading finds them, by ours"
