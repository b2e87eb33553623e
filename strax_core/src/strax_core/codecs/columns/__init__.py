"""The codec `columns`: each field by itself, in blocks of rows, so that parts are read alone."""

from strax_core.codecs.columns.codec import ColumnsCodec

__all__ = ["ColumnsCodec"]
