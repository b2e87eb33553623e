"""Commits by renaming a folder: local disks, SFTP."""

from collections.abc import Sequence
from dataclasses import replace

from strax_core.errors import DataCorrupted, NewerFormat
from strax_core.format import ChunkInfo, Metadata, is_of_data, metadata_name, write_ids_in
from strax_core.medium import Buffer
from strax_core.saver.commit import SettlingSaver, is_there
from strax_core.saver.own_files import is_plain_file


class RenamingSaver(SettlingSaver):
    """Chunks and metadata lie in the writer's own staging until one rename makes them data."""

    _is_behind_link = False

    @property
    def folder(self) -> str:
        """The part of the writer's own staging that is renamed."""
        return self.staging.data

    def _write(self, name: str, buffers: Sequence[Buffer]) -> None:
        self.medium.write(f"{self.staging.data}/{name}", buffers)

    def _check_sizes(self, infos: Sequence[ChunkInfo]) -> None:
        check_sizes(self, self.staging.data, infos, starts_with="")

    def _publish(self, metadata: Metadata) -> None:
        document = f"{self.staging.data}/{metadata_name(self.backend_key)}"
        self.medium.write(document, [metadata.to_bytes()])
        if self._settle(lambda: self.medium.rename(self.staging.data, self.backend_key)):
            return
        self._go_behind_link()
        self._replaceable()
        self.medium.delete_files([document])
        self._replace(metadata)

    def _go_behind_link(self) -> None:
        """Resolve the final folder once and for all, if a person made it a link to elsewhere.

        Only these very data, and only where they are asked to be replaced, are changed there.

        Raises:
            DataCorrupted: they may not be replaced, or something else lies there.
        """
        target = self.medium.link_target(self.backend_key)
        if target is None:
            return
        behind = self.medium.behind_link(self.backend_key)
        way_out = f"{self.metadata.place} is a link to {target}"
        if behind is None:
            raise DataCorrupted(f"{way_out}, and not of a kind that is written through")
        if self.overwrite != "always":
            raise DataCorrupted(
                f"{way_out}, and what lies there is replaced only where it is asked for by name: "
                "Context.make(…, again=True), or remove it first"
            )
        self.medium, self._is_behind_link = behind, True
        try:
            old = self._published()
        except NewerFormat:
            raise
        except DataCorrupted as error:
            raise DataCorrupted(f"{way_out}, where the metadata cannot be read: {error}") from error
        if old is None:
            raise DataCorrupted(f"{way_out}, where no such data lie; remove the link")
        self._refuse_another(old)

    def _replace(self, metadata: Metadata) -> None:
        """Put the chunks into a sub-folder of the final folder; then only the metadata change."""
        folder = f"{self.backend_key}/{self.write_id}"
        infos = [
            info
            if info.filename is None
            else replace(info, filename=f"{self.write_id}/{info.filename}")
            for info in metadata.chunks
        ]
        if any(info.filename is not None for info in infos):
            if self._is_behind_link:
                self._copy_data(folder)
            else:
                self._settle(lambda: self._move_data(folder))
        document = {**metadata, "chunks": [info.as_json() for info in infos]}
        self._replace_metadata(Metadata(document, place=metadata.place))

    def _copy_data(self, folder: str) -> None:
        """Copy the chunks: behind a link lies another disk, to which nothing can be renamed."""
        for entry in list(self.medium.list(self.staging.data)):
            raw = self.medium.read(f"{self.staging.data}/{entry.name}")
            self.medium.write(f"{folder}/{entry.name}", [raw])

    def _move_data(self, folder: str) -> None:
        if not any(
            entry.is_folder for entry in self.medium.list(self.staging.folder, starts_with="data")
        ):
            # An earlier try, whose answer was lost, has moved it.
            if any(
                entry.is_folder
                for entry in self.medium.list(self.backend_key, starts_with=self.write_id)
            ):
                return
            raise DataCorrupted(f"{self.metadata.place}: the chunks of {self.write_id} vanished")
        self.medium.rename(self.staging.data, folder)

    def _discard(self) -> None:
        if self._is_published():
            self._tidy()
            return
        moved = f"{self.backend_key}/{self.write_id}"
        if is_there(self.medium, moved):
            self._remove_own(moved)
        self._remove_ticket()


def check_sizes(
    saver: SettlingSaver, folder: str, infos: Sequence[ChunkInfo], *, starts_with: str
) -> None:
    """Compare the sizes that lie there with the receipts; remove our files that no receipt names.

    Raises:
        DataCorrupted: a file is missing or was written short.
    """
    sizes = {
        entry.name: entry.size_bytes
        for entry in saver.medium.list(folder, starts_with=starts_with)
        if is_plain_file(entry)
    }
    for info in infos:
        if info.filename is not None and sizes.pop(info.filename, None) != info.filesize:
            raise DataCorrupted(
                f"{saver.metadata.place}: chunk {info.chunk_i} is not there as it was written "
                f"({info.filename}, {info.filesize} bytes)"
            )
    unnamed = [
        f"{folder}/{name}"
        for name in sizes
        if is_of_data(saver.backend_key, name)
        and (folder == saver.staging.data or saver.write_id in write_ids_in(name))
    ]
    if unnamed:
        saver.medium.delete_files(unnamed)
