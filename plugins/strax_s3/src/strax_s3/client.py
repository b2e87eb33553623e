"""One client of boto3 for each process, and how requests are made with it."""

import base64
import hashlib
import logging
import os
import re
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from strax_core import Backoff, ConfigError, ObjectExists, SecretReference, StorageUnavailable
from strax_s3.errors import NO_S3, is_worth_a_retry, translated
from strax_s3.options import S3Options, holds_more
from strax_s3.sdk import SDK_ERRORS, USER_AGENT, Config, exceptions, new_session

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_SECRET = re.compile(
    r"((?:security.?token|secret.?access.?key|(?:session|identity|bearer|access|refresh|id).?token"
    r"|client.?secret)[^\w:=>]{0,3}[:=>]\s*b?['\"]?)[^'\"\s,<&]+",
    re.IGNORECASE,
)
"""What boto3 sends to those who hand out credentials, and what they answer: header, JSON, XML."""
Result = TypeVar("Result")


class UnclearError(StorageUnavailable):
    """The object of a request is there; whether an earlier try created it is unknown."""


class Bucket:
    """Requests about one bucket.

    - Works in threads, and in another process with a client of its own; it pickles without.
    - What got no answer, or was put off by a busy server, is tried again for a while. What is
      certain is not: no permission, no space, no such thing.
    - Once a request was given up, those under way are, too, and later ones are tried once only,
      until one is answered: or each step after a server has gone would take as long again.
    - Never more than `concurrency` requests are under way.
    """

    _all: ClassVar[weakref.WeakSet["Bucket"]] = weakref.WeakSet()

    def __init__(self, options: S3Options) -> None:
        self.options = options
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self.options.concurrency)
        self._client: Any = None
        self.question = threading.Lock()
        """Held by who asks what all others want to know, too."""
        self._has_answered = False
        self._given_up_at = 0.0
        self._all.add(self)

    def __getstate__(self) -> S3Options:
        return self.options

    def __setstate__(self, options: S3Options) -> None:
        self.options = options
        self._begin()

    @property
    def client(self) -> Any:
        """The client of this process."""
        with self._lock:
            if self._client is None:
                try:
                    self._client = new_client(self.options)
                except SDK_ERRORS as error:
                    raise translated(error, f"the bucket {self.options.bucket}") from error
                except ValueError as error:  # boto3's word for a URL that is none
                    raise ConfigError(
                        f"endpoint_url of the bucket {self.options.bucket} is no URL of a server, "
                        "as in https://s3.example.org"
                    ) from error
            return self._client

    def named(self, key: str) -> str:
        """Return what errors call a key: with bucket and endpoint."""
        where = f"s3://{self.options.bucket}/{key}" if key else f"the bucket {self.options.bucket}"
        return f"{where} at {self.client.meta.endpoint_url}"

    def ask(self, operation: str, key: str = "", **parameters: Any) -> Any:
        """Make a request of the client; return its answer.

        Raises:
            StorageError: ours, for any of the SDK's. `ObjectExists` only if it is certain that
                no earlier try of the same request was the one that created it.
        """
        if key:
            parameters["Key"] = key

        def request() -> Any:
            if hasattr(parameters.get("Body"), "seek"):
                parameters["Body"].seek(0)
            return getattr(self.client, operation)(Bucket=self.options.bucket, **parameters)

        return self.patiently(request, key)

    def patiently(
        self, request: Callable[[], Result], key: str, *, progress: Callable[[], int] = lambda: 0
    ) -> Result:
        """Make a request until it is answered, or `retry_for_s` are over.

        Args:
            request: is called again after an error that may pass.
            key: what it is about.
            progress: how far it has come; while that changes, time begins anew.
        """
        began, far = time.monotonic(), 0
        backoff = Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        is_first = True
        while True:
            try:
                with self._slots:
                    if self._given_up_at > began:
                        raise StorageUnavailable(
                            f"{self.named(key)} was given up: others got no answer meanwhile"
                        )
                    answer = request()
            except SDK_ERRORS as error:
                ours = translated(error, self.named(key))
                if isinstance(ours, ObjectExists) and not is_first:
                    raise UnclearError(
                        f"{self.named(key)}: whether it was we who created it is unknown"
                    ) from error
                if progress() != far:
                    began, far = time.monotonic(), progress()
                    backoff.begin_anew()
                if not self._goes_on(error, began):
                    raise ours from error
            except ValueError as error:  # boto3's word for what is no number, or no time
                raise StorageUnavailable(f"{self.named(key)} {NO_S3}") from error
            else:
                self._was_answered()
                return answer
            is_first = False
            backoff.pause()

    def _goes_on(self, error: Exception, began: float) -> bool:
        """Say whether to ask again after an error, if there has been no progress since `began`."""
        if not is_worth_a_retry(error):
            if isinstance(error, exceptions.ClientError):  # "not there" is an answer, too
                self._was_answered()
            return False
        if isinstance(error, exceptions.EndpointConnectionError) and not self._has_answered:
            return False  # nobody was ever there
        now = time.monotonic()
        if self._given_up_at or now > began + self.options.retry_for_s:
            self._given_up_at = now
        return not self._given_up_at

    def _was_answered(self) -> None:
        self._has_answered, self._given_up_at = True, 0.0


def _renew_all() -> None:
    for bucket in list(Bucket._all):  # noqa: SLF001 - our own
        bucket._begin()  # noqa: SLF001


# In a forked process: a connection that two processes use mixes up their answers.
os.register_at_fork(after_in_child=_renew_all)


def server_time(answer: Any) -> datetime:
    """Return the time of an answer by the server's clock."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return in_utc(parsedate_to_datetime(date))
    except ValueError as error:
        raise StorageUnavailable("the server does not tell the time") from error


def in_utc(when: datetime) -> datetime:
    """Return a time of a server; one without a zone is in UTC."""
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def new_client(options: S3Options) -> Any:
    """Return a client of boto3; nothing of the process's environment is changed.

    Raises:
        ConfigError: an option cannot be, or its secret cannot be looked up.
        SDK_ERRORS, ValueError: what else boto3 cannot do.
    """
    if options.ca_bundle is not None:
        _check_certificates(options.ca_bundle)
    _hide_secrets()
    session = new_session(profile=options.profile, region=options.region)
    style = options.addressing_style
    if style == "auto" and options.endpoint_url is not None:
        style = _addressing_at(options.endpoint_url)
    client = _client(session, options, style)
    if style == "auto" and _addressing_at(client.meta.endpoint_url) != style:  # boto3 was told it
        client.close()
        client = _client(session, options, "path")
    if holds_more(client.meta.endpoint_url):
        raise ConfigError("the URL of the server that boto3 was told holds a user or a query")
    client.meta.events.register("before-call.s3.HeadBucket", _redirect_no_further)
    client.meta.events.register_last("before-call.s3.DeleteObjects", _sum_by_md5)
    return client


def _check_certificates(path: str) -> None:
    """Of a file that is none boto3 would say, at each request, that there was no answer."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # among them `ssl.SSLError`
        raise ConfigError(
            f"ca_bundle {path} is not a file of certificates (PEM) that can be read"
        ) from error


def _redirect_no_further(context: Any, **_: object) -> None:
    """When redirected without a region, boto3 asks for it: if that is redirected, too, for ever."""
    context["s3_redirect"]["redirected"] = True


def _sum_by_md5(params: Any, **_: object) -> None:
    """This request needs a checksum; the newer one, which boto3 would send, many do not know."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["context"].pop("checksum", None)


def _addressing_at(endpoint_url: str) -> Literal["auto", "path"]:
    """Few other servers than AWS have a name of their own for each bucket."""
    host = urlsplit(endpoint_url).hostname or ""
    return "auto" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else "path"


def _client(session: Any, options: S3Options, addressing_style: str) -> Any:
    return session.client(
        "s3",
        endpoint_url=options.endpoint_url,
        verify=options.ca_bundle,
        aws_access_key_id=_revealed(options.access_key_id),
        aws_secret_access_key=_revealed(options.secret_access_key),
        aws_session_token=_revealed(options.session_token),
        config=Config(
            s3={"addressing_style": addressing_style},
            max_pool_connections=options.concurrency,
            connect_timeout=min(10.0, options.timeout_s),
            read_timeout=options.timeout_s,
            tcp_keepalive=True,
            user_agent=USER_AGENT,
            parameter_validation=False,  # ours are right, and to look costs time at each request
            # boto3 would try again by itself, and then call its own object a conflict.
            retries={"mode": "standard", "total_max_attempts": 1},
            # Other servers take the newer checksums wrongly or not at all; ours are always there.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _revealed(reference: SecretReference | None) -> str | None:
    return None if reference is None else reference.reveal()


class _WithoutSecrets(logging.Filter):
    """Takes secrets out of what botocore logs at the level debug."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if _SECRET.search(text):
            record.msg, record.args = _SECRET.sub(r"\1…", text), ()
        return True


_FILTER = _WithoutSecrets()


def _hide_secrets() -> None:
    for name in ("auth", "endpoint", "hooks", "httpsession", "parsers"):
        logging.getLogger(f"botocore.{name}").addFilter(_FILTER)  # once: a filter is not doubled
