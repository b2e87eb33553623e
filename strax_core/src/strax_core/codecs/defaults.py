"""DEFAULT_COMPRESSOR, DEFAULT_FOR_UPSTREAM."""

DEFAULT_COMPRESSOR = "columns"
DEFAULT_FOR_UPSTREAM = "zstd"  # whatever the default is elsewhere
