"""Core's own backends, frontends and codecs, through the same hooks as any storage plugin's."""

from strax_core.storage_plugins.hookspecs import Provided, hookimpl


@hookimpl
def strax_backends() -> list[Provided]:
    """Return the backends of core."""
    return [
        Provided(
            name="memory",
            help="the memory of this process; gone when it ends",
            target="strax_core.backend.memory:MemoryBackend",
            options="strax_core.backend.memory:MemoryOptions",
            schemes=("memory",),
        )
    ]


@hookimpl
def strax_codecs() -> list[Provided]:
    """Return the codecs of core."""
    return [
        Provided(
            name="columns",
            help="the default: each field by itself, in blocks of rows; small, and read in part",
            target="strax_core.codecs.columns:ColumnsCodec",
        ),
        Provided(
            name="zstd",
            help="rows as they are, compressed with zstandard; upstream reads it",
            target="strax_core.codecs.zstd:ZstdCodec",
        ),
        Provided(
            name="none",
            help="rows as they are, not compressed",
            target="strax_core.codecs.none:NoneCodec",
        ),
        Provided(
            name="blosc",
            help="upstream's default; a chunk has less than 2.1 GB",
            target="strax_core.codecs.blosc:BloscCodec",
            extra="upstream",
        ),
        Provided(
            name="lz4",
            help="an LZ4 frame, fast; upstream reads it",
            target="strax_core.codecs.lz4:Lz4Codec",
            extra="upstream",
        ),
        Provided(
            name="bz2",
            help="a bz2 stream, small and very slow; upstream reads it",
            target="strax_core.codecs.bz2:Bz2Codec",
        ),
    ]
