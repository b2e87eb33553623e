"""The codecs of core pass the contract of codecs."""

import pytest

from strax_core.testing import CodecContract


class TestNone(CodecContract):
    name = "none"

    @pytest.fixture
    def codec(self) -> str:
        return self.name


class TestZstd(TestNone):
    name = "zstd"


class TestLz4(TestNone):
    name = "lz4"


class TestBlosc(TestNone):
    name = "blosc"


class TestBz2(TestNone):
    name = "bz2"


class TestColumns(TestNone):
    name = "columns"
