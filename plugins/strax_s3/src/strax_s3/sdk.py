"""What is used of boto3, imported so that nothing changes for others."""

import warnings

with warnings.catch_warnings():  # urllib3 adds filters of its own
    import boto3
    from botocore import exceptions
    from botocore.config import Config
    from urllib3.exceptions import HTTPError

SDK_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, HTTPError)
new_session = boto3.session.Session

__all__ = ["SDK_ERRORS", "Config", "exceptions", "new_session"]
