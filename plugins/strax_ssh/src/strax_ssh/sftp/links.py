"""Looks for links on the way to a file of a place, since SFTP opens a path as a whole.

Between the look and what follows, somebody may still put a link there: SFTP has no way to open one
part of a path after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strax_core import DataCorrupted
from strax_ssh.sftp.packets import Attributes, Kind, SftpError, Status, packed_path
from strax_ssh.sftp.session import Request, Session

Asked = Sequence[tuple[str, Request]]
WAY_OUT = (
    "what a place holds lies in it, and no link is followed: put there what the link leads to, or "
    "name that folder as a place of its own"
)


@dataclass(frozen=True, slots=True)
class Way:
    """The way to something in a place, from a folder that is known to be right."""

    start: str
    """The root of the place, or what lies behind a link that was resolved."""
    parts: tuple[str, ...]
    is_resolved: bool = False
    """True if it starts behind a link."""

    @property
    def full(self) -> str:
        """The whole path, on that machine."""
        return "/".join((self.start.rstrip("/"), *self.parts)) or "/"

    @property
    def folders(self) -> list[str]:
        """The folders of the place above it, from the top down."""
        above = [Way(self.start, self.parts[:n]).full for n in range(1, len(self.parts))]
        return [self.start, *above] if self.is_resolved and self.parts else above

    @property
    def on_way_to_read(self) -> list[str]:
        """Paths that may be no links if it is read as a file."""
        return [*self.folders[self._n_looked_through :], self.full]

    @property
    def on_way_to_list(self) -> list[str]:
        """Paths that may be no links if it is listed."""
        return [*self.folders, self.full][self._n_looked_through :]

    @property
    def _n_looked_through(self) -> int:
        """One, if the first part may be a link: a folder at the top that is not our own."""
        return 1 if self.is_resolved or not self.parts[0].startswith(".") else 0


def ask_about(session: Session, paths: Iterable[str]) -> Asked:
    """Ask what each path is, and do not wait for the answers."""
    return [(path, session.send(Kind.LSTAT, packed_path(path))) for path in paths]


def answers(session: Session, asked: Asked) -> list[Attributes | None]:
    """Take the answers; None for what is not there."""
    found: list[Attributes | None] = []
    for _, request in asked:
        try:
            found.append(session.answer(request, Kind.ATTRS).attributes())
        except SftpError as error:
            if error.code != Status.NO_SUCH_FILE:
                raise
            found.append(None)
    return found


def are_plain(found: Iterable[Attributes | None]) -> bool:
    """Say whether none of them is a link, or something that to open may take for ever."""
    return not any(each is not None and (each.is_link or each.is_special) for each in found)


def refuse_links(session: Session, asked: Asked, *, file: str | None = None) -> None:
    """Take the answers; what is not there is no link.

    Args:
        session: that was asked.
        asked: what `ask_about` gave.
        file: which of them may be a link to another file of the same folder.

    Raises:
        DataCorrupted: one is a link, or a pipe, a socket or a device.
    """
    for (path, _), attributes in zip(asked, answers(session, asked), strict=True):
        if attributes is None:
            continue
        if attributes.is_special:
            raise DataCorrupted(
                f"{path} is a pipe, a socket or a device, and no file; move it away"
            )
        if attributes.is_link and not (path == file and _is_to_sibling(session, path)):
            target = target_of(session, path)
            raise DataCorrupted(f"{path} is a link to {target}; {WAY_OUT}")


def _is_to_sibling(session: Session, path: str) -> bool:
    target = target_of(session, path)
    if target is None or "/" in target or target in {".", ".."}:
        return False
    about = _about(session, f"{path.rpartition('/')[0]}/{target}")
    return are_plain([about])


def target_of(session: Session, path: str) -> str | None:
    """Return where a link leads, as it says itself; None if it is none, or nothing is there."""
    about = _about(session, path)
    if about is None or not about.is_link:
        return None
    return next(session.ask(Kind.READLINK, packed_path(path), answer=Kind.NAME).names())[0]


def dangling_target(session: Session, asked: Asked) -> str | None:
    """Take the answer about one path; return where it leads, if it is a link to nothing."""
    ((path, request),) = asked
    try:
        if not session.answer(request, Kind.ATTRS).attributes().is_link:
            return None
        session.ask(Kind.STAT, packed_path(path), answer=Kind.ATTRS)
    except SftpError:
        return target_of(session, path)
    return None


def real_path(session: Session, path: str) -> str:
    """Return a path without any link in it."""
    return next(session.ask(Kind.REALPATH, packed_path(path), answer=Kind.NAME).names())[0]


def _about(session: Session, path: str) -> Attributes | None:
    try:
        return session.ask(Kind.LSTAT, packed_path(path), answer=Kind.ATTRS).attributes()
    except SftpError as error:
        if error.code == Status.NO_SUCH_FILE:
            return None
        raise
