"""Options of a bucket."""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from strax_core import ConfigError, SecretReference


def _said(text: str, **metadata: Any) -> dict[str, Any]:
    return {"help": text, **metadata}


ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes of AWS; metadata there could not be found again."""


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """A bucket, or what lies in it below a prefix.

    Credentials that are not given are found as boto3 finds them: environment, files, roles.
    """

    __module__ = "strax_s3"

    bucket: str = field(metadata=_said("name of the bucket; it must be there"))
    prefix: str = field(default="", metadata=_said("what all keys begin with; a / follows"))
    endpoint_url: str | None = field(
        default=None, metadata=_said("URL of the server; left out: AWS, or what boto3 is told")
    )
    region: str | None = field(default=None, metadata=_said("such as eu-central-1"))
    profile: str | None = field(default=None, metadata=_said("profile in the files of AWS"))
    access_key_id: SecretReference | None = field(
        default=None, metadata=_said("instead of boto3's own way to find it", secret=True)
    )
    secret_access_key: SecretReference | None = field(
        default=None, metadata=_said("belongs to access_key_id", secret=True)
    )
    session_token: SecretReference | None = field(
        default=None, metadata=_said("if these credentials have one", secret=True)
    )
    addressing_style: Literal["auto", "path", "virtual"] = field(
        default="auto",
        metadata=_said("bucket in the path or in the host's name; auto: path, but for AWS"),
    )
    ca_bundle: str | None = field(
        default=None, metadata=_said("certificates to trust, if not boto3's own", path=True)
    )
    concurrency: int = field(default=32, metadata=_said("requests at once, at most"))
    timeout_s: float = field(default=15.0, metadata=_said("how long the server may be silent"))
    retry_for_s: float = field(
        default=30.0, metadata=_said("how long a request is tried again that got no answer")
    )
    storage_class: str | None = field(
        default=None, metadata=_said("such as STANDARD_IA, for what is written")
    )
    sse: str | None = field(
        default=None, metadata=_said("encryption by the server, such as AES256 or aws:kms")
    )
    unsafe_commit: bool = field(
        default=False,
        metadata=_said(
            "write to a server that cannot create a file only if there is none: of two writers of "
            "one key, both may believe to be the first"
        ),
    )

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ConfigError: names the option.
        """
        if not self.bucket or "/" in self.bucket:
            raise ConfigError(
                f"bucket of an S3 place is a name without /, not {self.bucket!r}; "
                "what follows the name goes into prefix"
            )
        if (self.storage_class or "").upper() in ARCHIVES:
            raise ConfigError(
                f"storage_class {self.storage_class} of an S3 place is an archive, where nothing "
                "can be read before it is restored; take another, or leave it out"
            )
        if holds_more(self.endpoint_url or ""):
            raise ConfigError(
                "endpoint_url of an S3 place holds a user or a query: give access_key_id and "
                "secret_access_key by reference"
            )
        for name in ("concurrency", "timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} of an S3 place must be above 0")
        if self.retry_for_s < 0:
            raise ConfigError("retry_for_s of an S3 place must not be below 0")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ConfigError("access_key_id and secret_access_key of an S3 place go together")
        if self.session_token is not None and self.access_key_id is None:
            raise ConfigError("session_token of an S3 place goes with access_key_id")

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``s3://bucket/prefix`` apart."""
        parts = urlsplit(url)
        if parts.query or parts.fragment or not parts.netloc or "@" in parts.netloc:
            raise ConfigError(
                "an S3 URL is s3://bucket/prefix; all else, such as endpoint_url, stands in a "
                "table of strax.toml"
            )
        return {"bucket": parts.netloc, "prefix": unquote(parts.path).strip("/")}


def holds_more(endpoint_url: str) -> bool:
    """Say whether a URL holds more than a server and a path: all of it stands in messages."""
    return bool(set("@?#") & set(endpoint_url))
