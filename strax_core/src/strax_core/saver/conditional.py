"""Commits by creating the metadata only if there are none: object stores, databases."""

import secrets
from collections.abc import Sequence

from strax_core.format import (
    ChunkInfo,
    Metadata,
    chunk_name,
    is_chunk,
    metadata_path,
    prefix_of,
    write_ids_in,
)
from strax_core.medium import Buffer
from strax_core.saver.commit import SettlingSaver
from strax_core.saver.renaming import check_sizes


class ConditionalSaver(SettlingSaver):
    """Chunks lie under the final prefix, named after this writing; the metadata make them data."""

    def _file_name(self, chunk_i: int) -> str:
        # Never the same path twice: a write whose answer was lost may land late.
        return f"{chunk_name(self.backend_key, chunk_i)}-{self.write_id}-{secrets.token_hex(4)}"

    def _write(self, name: str, buffers: Sequence[Buffer]) -> None:
        self.medium.write(f"{self.backend_key}/{name}", buffers)

    def _check_sizes(self, infos: Sequence[ChunkInfo]) -> None:
        check_sizes(self, self.backend_key, infos, starts_with=prefix_of(self.backend_key))

    def _publish(self, metadata: Metadata) -> None:
        path = metadata_path(self.backend_key)
        if self._settle(lambda: self.medium.write(path, [metadata.to_bytes()], create_only=True)):
            return
        self._replace_metadata(metadata)

    def _discard(self) -> None:
        if self._is_published():
            self._tidy()
            return
        found = self.medium.list(self.backend_key, starts_with=prefix_of(self.backend_key))
        self.medium.delete_files(
            [
                f"{self.backend_key}/{entry.name}"
                for entry in found
                if is_chunk(self.backend_key, entry.name)
                and self.write_id in write_ids_in(entry.name)
            ]
        )
        self._remove_ticket()
