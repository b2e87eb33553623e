"""Codecs: how rows become bytes. The metadata's ``compressor`` names one."""

from strax_core.codecs.base import (
    ALL,
    WHOLE,
    Codec,
    Decoder,
    Encoded,
    Into,
    Out,
    Request,
    Run,
    Segment,
    Selection,
    Whole,
    WholeFileCodec,
    bytes_of,
    run_here,
)

__all__ = [
    "ALL",
    "WHOLE",
    "Codec",
    "Decoder",
    "Encoded",
    "Into",
    "Out",
    "Request",
    "Run",
    "Segment",
    "Selection",
    "Whole",
    "WholeFileCodec",
    "bytes_of",
    "codec_named",
    "run_here",
]


def codec_named(name: str) -> Codec:
    """Return the codec of this name, from core or from an installed storage plugin.

    Raises:
        ConfigError: no codec has this name.
        PluginError: its storage plugin is broken, or two claim the name.
    """
    from strax_core.storage_plugins.registry import default_registry

    codec: Codec = default_registry().codec(name).load_target()()
    return codec
