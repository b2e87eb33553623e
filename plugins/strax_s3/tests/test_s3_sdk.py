"""Times of S3, read faster than boto3 does; the expected ones are what boto3 makes of them."""

import pytest
from botocore.utils import parse_timestamp

from strax_s3.sdk import new_session, parsed_time


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T17:04:05.123Z",
        "2026-11-29T17:04:05Z",
        "2026-11-29T17:04:05+00:00",
        "2026-11-29T17:04:05.123456789Z",
        "2026-11-29 17:04:05",
        "Sun, 29 Nov 2026 17:04:05 GMT",
        "Wed, 01 Jan 2025 00:00:00 +0100",
        "1796000000",
        "1796000000.25",
        1796000000,
        1796000000.25,
    ],
)
def test_a_time_is_what_boto3_reads(text: object) -> None:
    expected = parse_timestamp(text)

    got = parsed_time(text)

    assert got.replace(tzinfo=None) == expected.replace(tzinfo=None)
    assert got.utcoffset() == expected.utcoffset()


@pytest.mark.parametrize("text", ["2026-13-29T17:04:05Z", "Sun, 99 Nov 2026 17:04:05 GMT", "soon"])
def test_what_is_no_time_is_the_same_error(text: str) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whichever boto3 has
        parse_timestamp(text)
    with pytest.raises(expected.type):
        parsed_time(text)


def test_our_clients_use_it() -> None:
    factory = new_session(profile=None, region="eu-west-1")._session.get_component(
        "response_parser_factory"
    )
    assert factory.create_parser("rest-xml")._timestamp_parser is parsed_time
