"""Storage plugin: zip archives, one for each run, as `strax` 2 reads them."""

from strax_zip.backend import ZipBackend
from strax_zip.options import ZipOptions
from strax_zip.packing import zip_run

__all__ = ["ZipBackend", "ZipOptions", "zip_run"]
