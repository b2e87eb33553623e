"""Credentials are found as boto3 finds them or by reference, and show up nowhere."""

import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from raw_s3 import BUCKET, RawS3
from s3_server import S3Server

from strax_core import (
    AccessDenied,
    ConfigError,
    Context,
    DirectoryFrontend,
    SecretReference,
    StorageError,
)
from strax_core.testing import everything, sample_key, save_sample
from strax_s3 import client
from strax_s3.backend import S3Backend
from strax_s3.options import S3Options

CANARIES = {
    "AWS_ACCESS_KEY_ID": "AKIDCANARY",
    "AWS_SECRET_ACCESS_KEY": "canary-secret",
    "AWS_SESSION_TOKEN": "canary-token",
}
SIGN_ON = """
[default]
sso_start_url = https://x
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = reader
"""
HIDDEN = ("canary-secret", "canary-token")
"""The id of a key is no secret: it stands in every signed request."""


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, text in CANARIES.items():
        monkeypatch.setenv(name, text)
    yield
    logging.getLogger("botocore").setLevel(logging.NOTSET)


def referring() -> dict[str, SecretReference]:
    names = ("access_key_id", "secret_access_key", "session_token")
    return {
        name: SecretReference(env=variable) for name, variable in zip(names, CANARIES, strict=True)
    }


@pytest.mark.usefixtures("canaries")
@pytest.mark.parametrize("way", ["references", "boto3"])
def test_a_canary_is_nowhere(
    moto_server: S3Server, prefix: str, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    options = S3Options(
        bucket=BUCKET,
        prefix=prefix,
        endpoint_url=moto_server.endpoint_url,
        **(referring() if way == "references" else {}),
    )
    backend = S3Backend(options)
    shown: list[str] = []
    before = dict(os.environ)
    with caplog.at_level(logging.DEBUG):
        save_sample(backend, sample_key())
        backend.verify(sample_key().name)
        shown += [check.text for check in backend.checks(writes=True)]
        missing = S3Backend(S3Options(bucket="no-such", endpoint_url=moto_server.endpoint_url))
        for asked in (backend, missing):
            with pytest.raises(StorageError) as caught:
                asked.read("missing")
            shown += traceback.format_exception(caught.value)
            shown.append(repr(vars(caught.value)))
    context = Context([DirectoryFrontend(backend)])
    raw = RawS3(moto_server, prefix)
    shown += [repr(backend), str(vars(backend)), repr(options), repr(vars(backend._bucket))]
    shown += [repr(context.storage), repr(context), getattr(context, "_repr_html_", str)()]
    shown += [pickle.dumps(each).decode("latin-1") for each in (backend, options)]
    shown += [raw.read(path).decode("latin-1") for path in everything(raw)]
    shown.append(caplog.text)

    assert "botocore" in caplog.text
    assert "security-token" in caplog.text.lower()  # it was sent, and is not shown
    assert [text[:200] for text in shown for hidden in HIDDEN if hidden in text] == []
    assert dict(os.environ) == before


@pytest.mark.usefixtures("canaries")
def test_what_is_handed_out_for_a_role_is_in_no_log(
    moto_server: S3Server,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/reader\n"
        "credential_source = Environment\nregion = us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_server.endpoint_url)
    place = S3Options(
        bucket=BUCKET, prefix=prefix, profile="role", endpoint_url=moto_server.endpoint_url
    )
    backend = S3Backend(place)
    with caplog.at_level(logging.DEBUG):
        backend.write("file", [b"x"])
    handed_out = backend._bucket.client._request_signer._credentials.get_frozen_credentials()

    assert "AssumeRoleResponse" in caplog.text
    for secret in (handed_out.secret_key, handed_out.token, *HIDDEN):
        assert secret
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("{'body': {'WebIdentityToken': 'canary', 'RoleArn': 'arn'}}", "'RoleArn': 'arn'"),
        ("{'x-amz-sso_bearer_token': 'canary'}", "bearer_token"),
        ('b\'{"roleCredentials":{"secretAccessKey":"canary","sessionToken":"canary"}}\'', "role"),
        ('{"accessToken": "canary", "expiresIn": 3600, "refreshToken": "canary"}', "3600"),
        ("b'<SessionToken>canary</SessionToken><Code>x</Code>'", "<Code>x</Code>"),
    ],
)
def test_what_boto3_logs_of_credentials_is_hidden(said: str, shown: str) -> None:
    record = logging.LogRecord("botocore", logging.DEBUG, "", 0, "%s", (said,), None)

    assert client._FILTER.filter(record)
    assert "canary" not in record.getMessage()
    assert shown in record.getMessage()


@pytest.mark.usefixtures("canaries")
@pytest.mark.weakness("W32")
def test_credentials_are_given_by_reference_or_found_and_never_stand_in_options(
    moto_server: S3Server, prefix: str
) -> None:
    secrets = [each for each in fields(S3Options) if each.metadata.get("secret")]
    assert {each.name for each in secrets} == {
        "access_key_id",
        "secret_access_key",
        "session_token",
    }
    assert [each.default for each in secrets] == [None] * 3
    place = {"frontend": "s3", "bucket": BUCKET, "prefix": prefix}
    place["endpoint_url"] = moto_server.endpoint_url
    with pytest.raises(ConfigError, match="is a secret and takes") as caught:
        Context([{**place, "access_key_id": "AKID", "secret_access_key": "canary-secret"}])
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError, match="password"):
        Context(["s3://key:canary-secret@bucket/prefix"])

    with_user = place["endpoint_url"].replace("//", "//key:canary-secret@")
    for url in (with_user, f"{place['endpoint_url']}?token=canary", "http://x/#canary"):
        with pytest.raises(ConfigError, match="holds a user or a query") as caught:
            S3Options(bucket=BUCKET, endpoint_url=url)
        assert "canary" not in str(caught.value)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_S3", url)
            with pytest.raises(ConfigError, match="holds a user or a query") as caught:
                S3Backend(S3Options(bucket=BUCKET)).read("file")
        assert "canary" not in "".join(traceback.format_exception(caught.value))

    (found,) = Context([place]).storage
    assert "found by boto3: env" in [
        check.text for check in found.backends["main"].checks(writes=False)
    ]


@pytest.mark.usefixtures("canaries")
def test_without_credentials_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, moto_server: S3Server
) -> None:
    for name in CANARIES:
        monkeypatch.delenv(name)
    backend = S3Backend(S3Options(bucket=BUCKET, endpoint_url=moto_server.endpoint_url))

    with pytest.raises(AccessDenied, match="there are none: see `aws configure`"):
        backend.read("file")
    (bad,) = [check for check in backend.checks(writes=True) if not check.is_good]
    assert bad.name == "credentials"


@pytest.mark.usefixtures("canaries")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("[default", ConfigError),
        (SIGN_ON, AccessDenied),
    ],
)
def test_what_is_wrong_with_the_files_of_aws_is_not_blamed_on_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: str, expected: type[StorageError]
) -> None:
    for name in CANARIES:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(files)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    backend = S3Backend(S3Options(bucket=BUCKET, endpoint_url="http://127.0.0.1:9"))

    with pytest.raises(expected, match=r"aws (configure|sso login)"):
        backend.read("file")


@pytest.mark.usefixtures("canaries")
def test_a_profile_that_is_missing_is_an_error_of_the_options() -> None:
    backend = S3Backend(S3Options(bucket=BUCKET, profile="nobody"))

    with pytest.raises(ConfigError, match="profile"):
        backend.read("file")
