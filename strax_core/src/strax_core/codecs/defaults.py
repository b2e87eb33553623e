"""Codecs that are used if nobody names one."""

DEFAULT_COMPRESSOR = "columns"
DEFAULT_FOR_UPSTREAM = "zstd"  # whatever the default is elsewhere
