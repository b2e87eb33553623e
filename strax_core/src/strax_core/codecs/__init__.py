"""Codecs: rows to bytes and back. The metadata's `compressor` names one."""

from strax_core.codecs.by_name import codec_named
from strax_core.codecs.codec import (
    ALL,
    WHOLE,
    Codec,
    Decoder,
    Encoded,
    Into,
    Out,
    Request,
    RunJobs,
    Segment,
    Selection,
    Whole,
    WholeFileCodec,
    bytes_of,
    run_here,
)
from strax_core.codecs.defaults import DEFAULT_COMPRESSOR, DEFAULT_FOR_UPSTREAM
from strax_core.codecs.encoded_chunk import EncodedChunk, check_entry, encode_chunk

__all__ = [
    "ALL",
    "DEFAULT_COMPRESSOR",
    "DEFAULT_FOR_UPSTREAM",
    "WHOLE",
    "Codec",
    "Decoder",
    "Encoded",
    "EncodedChunk",
    "Into",
    "Out",
    "Request",
    "RunJobs",
    "Segment",
    "Selection",
    "Whole",
    "WholeFileCodec",
    "bytes_of",
    "check_entry",
    "codec_named",
    "encode_chunk",
    "run_here",
]
