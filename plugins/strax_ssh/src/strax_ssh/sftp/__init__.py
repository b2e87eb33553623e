"""SFTP, version 3: messages, sessions on one channel, and files, folders and links over them."""

from strax_ssh.sftp.batch_read import Small, Together
from strax_ssh.sftp.channel import fast
from strax_ssh.sftp.folders import (
    NO_ATTRIBUTES,
    attributes_of,
    drop_empty,
    is_below_a_file,
    listing,
    refuse_unless_exclusive,
    remove,
    remove_files,
    rename_exclusively,
    replace,
    with_parents,
)
from strax_ssh.sftp.links import (
    Way,
    answers,
    are_plain,
    ask_about,
    dangling_target,
    real_path,
    refuse_links,
    target_of,
)
from strax_ssh.sftp.packets import (
    READ_ONLY_FLAG,
    Attributes,
    Kind,
    SftpError,
    Status,
    packed_path,
    packed_text,
)
from strax_ssh.sftp.session import LostError, NobodyError, Session, SilentError
from strax_ssh.sftp.transfer import Transfer, Wanted

__all__ = [
    "NO_ATTRIBUTES",
    "READ_ONLY_FLAG",
    "Attributes",
    "Kind",
    "LostError",
    "NobodyError",
    "Session",
    "SftpError",
    "SilentError",
    "Small",
    "Status",
    "Together",
    "Transfer",
    "Wanted",
    "Way",
    "answers",
    "are_plain",
    "ask_about",
    "attributes_of",
    "dangling_target",
    "drop_empty",
    "fast",
    "is_below_a_file",
    "listing",
    "packed_path",
    "packed_text",
    "real_path",
    "refuse_links",
    "refuse_unless_exclusive",
    "remove",
    "remove_files",
    "rename_exclusively",
    "replace",
    "target_of",
    "with_parents",
]
