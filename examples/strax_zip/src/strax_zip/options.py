"""Options of a folder of archives."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from strax_core import ConfigError


@dataclass(frozen=True, kw_only=True)
class ZipOptions:
    """A folder with an archive ``<run_id>.zip`` for each run."""

    __module__ = "strax_zip"

    path: str = field(metadata={"help": "the folder", "path": True})

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``zip:///folder`` apart."""
        parts = urlsplit(url)
        if parts.netloc:
            raise ConfigError(f"{url}: a zip URL names no machine; write zip:///folder")
        return {"path": unquote(parts.path)}
