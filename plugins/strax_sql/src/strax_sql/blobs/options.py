"""Options of files that lie in a database."""

from dataclasses import dataclass, field

from strax_core import ConfigError, checked_path
from strax_sql.options import DatabaseOptions

SCHEME_START = "sqlblob+"


@dataclass(frozen=True, kw_only=True)
class SqlBlobOptions(DatabaseOptions):
    """Files in a database, or those below a prefix; several places may share a database."""

    __module__ = "strax_sql"

    prefix: str = field(default="", metadata={"help": "what all names begin with; a / follows"})
    ttl_s: float | None = field(
        default=None,
        metadata={"help": "how long data are kept after their last file was written; none: always"},
    )

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ConfigError: names the option.
        """
        super().__post_init__()
        checked_path(self.prefix.strip("/") or "none")
        if self.ttl_s is not None and not self.ttl_s > 0:
            raise ConfigError("ttl_s of an sqlblob place must be above 0, or left out")

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        """Take ``sqlblob+sqlite:///monitors.db`` apart."""
        return {"url": url.removeprefix(SCHEME_START)}
