import os
import signal
import threading
import warnings
from pathlib import Path

import numpy as np

from strax_core import Chunk, DataKey, Lineage
from strax_core.codecs import codec_named
from strax_core.storage_plugins import registry
from strax_local import LocalBackend, LocalOptions

DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<f4")])
KEY = DataKey("run_1", "peaks", Lineage({"peaks": ("Peaks", "0.0.0", {})}))


def chunk(number: int) -> Chunk:
    rows = np.array([(number * 100 + 1, number * 100 + 2, number)], dtype=DTYPE)
    return Chunk(number * 100, (number + 1) * 100, rows, KEY.run_id, KEY.data_type)


def test_forked_processes_save_and_the_parent_commits_from_the_journal(tmp_path: Path) -> None:
    backend = LocalBackend(LocalOptions(path=str(tmp_path), fsync=False))
    metadata = {"run_id": "run_1", "data_type": "peaks", "data_kind": "peaks", "compressor": "zstd"}
    metadata |= {"dtype": str(DTYPE.descr), "lineage": KEY.lineage.as_json()}
    metadata |= {"lineage_hash": KEY.lineage_hash}
    with backend.saver(KEY.name, metadata) as saver:
        for first in (0, 2, 4):
            with warnings.catch_warnings():  # Python 3.12 warns of forking where threads are
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                saver.save(chunk(first), first)
                saver.save(chunk(first + 1), first + 1)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0

    rows = backend.loader(KEY.name).read_all()
    assert rows["x"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_lock_that_a_thread_holds_at_a_fork_does_not_stop_the_child() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._default_lock, known._lock:
            held.set()
            done.wait()

    known = registry.default_registry()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with warnings.catch_warnings():  # Python 3.12 warns of forking where threads are
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(600)
        codec_named("zstd")
        os._exit(0)
    done.set()
    holder.join()

    assert os.waitpid(child, 0)[1] == 0
