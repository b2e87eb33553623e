"""Files in a database: the backend `sqlblob`. Its options stand here, for they alone are light."""

from strax_sql.blobs.options import SqlBlobOptions

__all__ = ["SqlBlobOptions"]
