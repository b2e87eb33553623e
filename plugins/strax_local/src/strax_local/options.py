"""Options of a directory."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from strax_core import ConfigError


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """A directory of this machine or of a mounted file system."""

    __module__ = "strax_local"

    path: str = field(metadata={"help": "the directory", "path": True})
    fsync: bool = field(
        default=True,
        metadata={
            "help": "wait until the disk has the data; false is faster, but a power cut soon after "
            "a save may lose or tear data that was called saved"
        },
    )

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``file:///directory`` apart."""
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"}:
            raise ConfigError(f"{url}: a file URL names no machine; write file:///directory")
        return {"path": unquote(parts.path)}
