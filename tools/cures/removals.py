"""Patches that take each cure of a weakness out of the code again; `cures.py` does it to a copy."""

from dataclasses import dataclass

CORE = "strax_core/src/strax_core/"
LOCAL = "plugins/strax_local/src/strax_local/"
S3 = "plugins/strax_s3/src/strax_s3/"
SQL = "plugins/strax_sql/src/strax_sql/"
ZIP = "examples/strax_zip/src/strax_zip/"


@dataclass(frozen=True)
class Removal:
    """One way to take a cure out."""

    weakness: str
    what: str
    patches: tuple[tuple[str, str, str], ...]
    """File, text that stands in it once, text instead."""


def removal(weakness: str, what: str, *patch: str) -> Removal:
    """Return a removal by one patch, or by several: file, old, new, file, old, new."""
    patches = zip(patch[::3], patch[1::3], patch[2::3], strict=True)
    return Removal(weakness, what, tuple(patches))


REMOVALS = [
    removal(
        "W1",
        "a failure in a thread is not noted",
        CORE + "processing/saver_group.py",
        "        is_first = self._failures.setdefault(saver, error) is error\n",
        "        is_first = True\n",
    ),
    removal(
        "W1",
        "nobody looks at what a thread raised",
        CORE + "concurrency/in_flight.py",
        "        task.result()\n",
        "        task.exception()\n",
    ),
    removal(
        "W2",
        "what was written is not read back",
        CORE + "places/transfer.py",
        "    if found != source:\n",
        "    if False:\n",
        CORE + "saver/saver.py",
        "        self.before_commit(metadata)\n",
        "",
    ),
    removal(
        "W2",
        "nobody looks whether a thread could write",
        CORE + "concurrency/in_flight.py",
        "        task.result()\n",
        "        task.exception()\n",
        CORE + "saver/saver.py",
        "        infos = ordered_receipts(receipts, where=self.metadata.place)\n"
        "        self._check_sizes(infos)\n",
        "        infos = sorted(receipts, key=lambda info: info.chunk_i)\n",
        CORE + "places/transfer.py",
        "    if found != source:\n",
        "    if False:\n",
    ),
    removal(
        "W3",
        "all writers of a key work in one folder",
        CORE + "format/layout.py",
        'return f"{self.of_key}/{self.write_id}"',
        'return f"{self.of_key}/0123456789abcdef"',
    ),
    removal(
        "W3",
        "the last writer replaces the first",
        LOCAL + "backend.py",
        "                    rename_exclusive(Name(folder, name), Name(target_folder, target_",
        "                    shutil.rmtree(target_name, ignore_errors=True, dir_fd=target_folder)\n"
        "                    rename(Name(folder, name), Name(target_folder, target_",
    ),
    removal(
        "W5",
        "checksums are not compared",
        CORE + "loader/chunk_file.py",
        "if info.checksum is not None and not checksum_matches(info.checksum, [stored]):",
        "if False:",
    ),
    removal(
        "W6",
        "the dtype of what a data plugin gives is not compared",
        CORE + "data_plugins/check_result.py",
        "if _untitled(given.dtype) != _untitled(dtype):",
        "if False:",
    ),
    removal(
        "W6",
        "a saver does not compare the dtype",
        CORE + "saver/saver.py",
        "if packed(chunk.dtype) != self._dtype:",
        "if False:",
    ),
    removal(
        "W9",
        "the codec blosc takes chunks of any size",
        CORE + "codecs/blosc.py",
        "if len(rows) > ROWS_BYTES_MAX:",
        "if False:",
    ),
    removal(
        "W10",
        "numbers of numpy are no numbers of chunks",
        CORE + "selection/parse.py",
        "if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:",
        "if isinstance(number, bool) or not isinstance(number, int) or number < 0:",
    ),
    removal(
        "W10",
        "what is no number of a chunk is passed over",
        CORE + "selection/parse.py",
        'raise ConfigError(f"chunk_numbers has {number!r}; give whole numbers from 0 on")',
        "return None",
    ),
    removal(
        "W10",
        "a text or a dictionary is passed over",
        CORE + "selection/parse.py",
        'raise ConfigError(f"chunk_numbers is {given!r}; give a whole number, or several")',
        "return None",
    ),
    removal(
        "W10",
        "a chunk that is not there is passed over",
        CORE + "selection/query.py",
        "            if absent:\n",
        "            if False:\n",
    ),
    removal(
        "W11",
        "the old folder is deleted before the new one exists",
        CORE + "saver/saver.py",
        "        self._journal.open(\n",
        "        self.medium.delete(self.backend_key)\n        self._journal.open(\n",
    ),
    removal(
        "W11",
        "the old folder is deleted just before the new one gets its name",
        CORE + "saver/renaming.py",
        "        self.medium.delete_files([document])\n        self._replace(metadata)\n",
        "        self.medium.delete(self.backend_key)\n"
        "        self.medium.rename(self.staging.data, self.backend_key)\n",
    ),
    removal(
        "W12",
        "the old files go before the new ones are read back",
        CORE + "places/copy.py",
        "    try:\n        return saver.commit()\n",
        "    if target.replaces is not None:\n"
        "        for each in target.replaces.metadata.chunks:\n"
        '            saver.medium.delete(f"{saver.backend_key}/{each.filename}")\n'
        "    try:\n        return saver.commit()\n",
    ),
    removal(
        "W12",
        "the old files stay for ever",
        CORE + "saver/commit.py",
        'delete_files([f"{self.backend_key}/{n}" for n in self._replaced_files])',
        "delete_files([])",
    ),
    removal(
        "W13",
        "files are not synced",
        LOCAL + "backend.py",
        "                    os.fsync(file)\n",
        "                    pass\n",
    ),
    removal(
        "W13",
        "the folder of a new name is not synced",
        LOCAL + "backend.py",
        "                    move(Name(scratch, temporary), Name(folder, name))\n"
        "                    self._sync(folder)\n",
        "                    move(Name(scratch, temporary), Name(folder, name))\n",
    ),
    removal(
        "W13",
        "a folder is not synced before it is renamed",
        LOCAL + "backend.py",
        "                self._sync(moved)\n",
        "                pass\n",
    ),
    removal(
        "W13",
        "syncing is off unless asked for",
        LOCAL + "options.py",
        "        default=True,\n",
        "        default=False,\n",
    ),
    removal(
        "W14",
        "files are written under their final name",
        LOCAL + "backend.py",
        '        temporary = f"tmp-{secrets.token_hex(8)}"\n',
        """        with self._errors(path), Descriptor(self._made(above)) as folder:
            flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if create_only else os.O_TRUNC)
            with open(os.open(name, flags, dir_fd=folder), "wb") as file:
                file.writelines(buffers)
            return
        temporary = f"tmp-{secrets.token_hex(8)}"
""",
    ),
    removal(
        "W14",
        "a document is opened before it is encoded",
        CORE + "frontend/directory.py",
        "        self._backend.write(run_document_name(run_id), [encode",
        '        self._backend.write(run_document_name(run_id), [b""])\n'
        "        self._backend.write(run_document_name(run_id), [encode",
    ),
    removal(
        "W15",
        "failed data get the final name",
        CORE + "saver/saver.py",
        "        answers = self._tries(self._discard)\n",
        "        self.medium.rename(self.staging.data, self.backend_key)\n"
        "        answers = self._tries(self._discard)\n",
    ),
    removal(
        "W16",
        "nothing of dead writers is cleaned up",
        CORE + "backend/leftovers.py",
        "    if _last_beat_ns(backend, staging.folder, entry) > old_ns:\n",
        "    if entry:\n",
    ),
    removal(
        "W16",
        "a writer that may be alive is cleaned up too",
        CORE + "backend/leftovers.py",
        "    if _last_beat_ns(backend, staging.folder, entry) > old_ns:\n",
        "    if not entry:\n",
    ),
    removal(
        "W17",
        "unreadable metadata may not be replaced",
        CORE + "saver/commit.py",
        '            self._refuse_unless(self.overwrite != "never", "something")\n'
        "            if raw is not None:\n",
        '            self._refuse_unless(False, "something")\n            if raw is not None:\n',
    ),
    removal(
        "W17",
        "a folder without metadata may not be replaced",
        CORE + "saver/commit.py",
        '            self._refuse_unless(self.overwrite != "never", "something")\n'
        "            return",
        '            self._refuse_unless(False, "something")\n            return',
    ),
    removal(
        "W17",
        "unreadable metadata keep a saver from beginning",
        CORE + "frontend/frontend.py",
        "        except SETTLED:\n            return False  # if",
        "        except DataNotAvailable:\n            return False  # if",
    ),
    removal(
        "W17",
        "unreadable metadata are no answer",
        CORE + "places/search.py",
        "                self._n_answers += isinstance(error, SETTLED)\n",
        "",
    ),
    removal(
        "W18",
        "a copy takes over when its source was written",
        CORE + "places/copy.py",
        '    "chunk_target_size_mb",\n',
        '    "chunk_target_size_mb",\n    "writing_ended",\n',
    ),
    removal(
        "W18",
        "chunks are written into the final folder",
        CORE + "saver/renaming.py",
        '        self.medium.write(f"{self.staging.data}/{name}", buffers)\n',
        '        self.medium.write(f"{self.staging.data}/{name}", buffers)\n'
        '        self.medium.write(f"{self.backend_key}/{name}", buffers)\n',
    ),
    removal(
        "W19",
        "whatever error is handled at the time is recorded",
        CORE + "saver/saver.py",
        '            "writing_ended": time.time(),\n        }\n        place =',
        '            "writing_ended": time.time(),\n'
        '            **({"exception": traceback.format_exc()} if __import__("sys").exc_info()[0] '
        "else {}),\n        }\n        place =",
    ),
    removal(
        "W20",
        "what is begun is entered as complete",
        SQL + "catalogue/recorder.py",
        '        facts = {"state": WRITING, "write_id": metadata.write_id',
        '        facts = {"state": COMPLETE, "write_id": metadata.write_id',
    ),
    removal(
        "W21",
        "the error of the file system is passed on",
        CORE + "loader/loader.py",
        "            self._check_still_there()\n            raise DataCorrupted(",
        "            raise FileNotFoundError(info.filename) from error\n"
        "            raise DataCorrupted(",
    ),
    removal(
        "W22",
        "only DataNotAvailable lets the next frontend be asked",
        CORE + "places/search.py",
        "            except Exception as error:  # noqa: BLE001 - also what a storage plugin",
        "            except ImportError as error:  # noqa: BLE001 - also what a storage plugin",
    ),
    removal(
        "W22",
        "a frontend without loose matching ends that of the others",
        CORE + "places/search.py",
        "            except Exception as error:  # noqa: BLE001 - the other places go on",
        "            except ImportError as error:  # noqa: BLE001 - the other places go on",
    ),
    removal(
        "W22",
        "runs are listed from no other place after an error",
        CORE + "places/places.py",
        "        except Exception as error:  # noqa: BLE001 - the other places go on\n"
        "            report",
        "        except ImportError as error:  # noqa: BLE001 - the other places go on\n"
        "            report",
    ),
    removal(
        "W22",
        "what is available is known from no other place after an error",
        CORE + "places/places.py",
        "            except Exception as error:  # noqa: BLE001 - the other places go on\n"
        "                problems[",
        "            except ImportError as error:  # noqa: BLE001 - the other places go on\n"
        "                problems[",
    ),
    removal(
        "W22",
        "documents of a run are read from no other place after an error",
        CORE + "places/places.py",
        "            except Exception as error:  # noqa: BLE001 - another place may have it",
        "            except ImportError as error:  # noqa: BLE001 - another place may have it",
    ),
    removal(
        "W22",
        "a place that cannot open a saver fails the others",
        CORE + "processing/open_savers.py",
        "        except Exception as error:  # noqa: BLE001 - the other places may take it",
        "        except ImportError as error:  # noqa: BLE001 - the other places may take it",
    ),
    removal(
        "W23",
        "an array is tried from no other copy",
        CORE + "places/failover.py",
        "                failures.append(_typed(error, found))\n",
        "                raise\n",
    ),
    removal(
        "W23",
        "a stream is tried from no other copy",
        CORE + "places/failover.py",
        "                        failed_now.append(_typed(error, found))\n"
        "                        break\n",
        "                        raise\n",
    ),
    removal(
        "W23",
        "the next copy begins anew",
        CORE + "places/failover.py",
        "            parts = done.parts_of(",
        "            parts = _HandedOut().parts_of(",
    ),
    removal(
        "W23",
        "no other copy goes on in the middle",
        CORE + "places/failover.py",
        "                if self.begun is None or is_replica(\n",
        "                if self.begun is None or not is_replica(\n",
    ),
    removal(
        "W24",
        "one saver that fails fails the save",
        CORE + "processing/saver_group.py",
        "        if len(self._failures) == len(self._savers):\n",
        "        if self._failures:\n",
    ),
    removal(
        "W24",
        "a place that cannot open a saver fails the save",
        CORE + "processing/open_savers.py",
        "        except Exception as error:  # noqa: BLE001 - the other places may take it",
        "        except ImportError as error:  # noqa: BLE001 - the other places may take it",
    ),
    removal(
        "W25",
        "a backend is found by its class",
        CORE + "frontend/search.py",
        "        return backends[name]\n",
        "        wanted = type(backends[name])\n"
        "        return next(each for each in backends.values() if type(each) is wanted)\n",
    ),
    removal(
        "W26",
        "what is complete is refused before overwrite is looked at",
        CORE + "frontend/frontend.py",
        '        if overwrite != "always" and self._has(key, backend):\n',
        "        if self._has(key, backend):\n",
    ),
    removal(
        "W26",
        "what is complete is refused at the commit",
        CORE + "saver/commit.py",
        'self._refuse_unless(self.overwrite == "always", "data")',
        'self._refuse_unless(False, "data")',
    ),
    removal(
        "W26",
        "making again is not replacing",
        CORE + "processing/open_savers.py",
        'overwrite = "always" if again and frontend.overwrite == "if_broken" else None',
        "overwrite = None",
    ),
    removal(
        "W27",
        "the first place without a document ends the search",
        CORE + "places/places.py",
        "            except RunMetadataNotAvailable:\n                continue\n            except",
        "            except RunMetadataNotAvailable:\n                raise\n            except",
    ),
    removal(
        "W27",
        "the first place without a document ends the search for defaults",
        CORE + "places/places.py",
        "            except RunMetadataNotAvailable:\n                continue\n        return {}",
        "            except RunMetadataNotAvailable:\n                return {}\n        return {}",
    ),
    removal(
        "W28",
        "a tuple is not a list",
        CORE + "format/keys.py",
        "        document[str.__str__(data_type)] = [class_name, version, stored]\n",
        "        document[str.__str__(data_type)] = [class_name, version, dict(options)]\n",
        CORE + "format/keys.py",
        "        return class_name, version, _json_form(options)\n",
        "        return class_name, version, options\n",
        CORE + "frontend/match.py",
        "        return rests[0] == rests[1] or _text(rests[0]) == _text(rests[1])\n",
        "        return rests[0] == rests[1]\n",
    ),
    removal(
        "W28",
        "the first of a listing wins",
        CORE + "frontend/search.py",
        "    return [things[i] for i in order]\n",
        "    return list(things)\n",
    ),
    removal(
        "W28",
        "a broken folder ends the search",
        CORE + "frontend/search.py",
        "                self._report(location, error)\n\n",
        "                raise\n\n",
    ),
    removal(
        "W28",
        "failed and unfinished data count too",
        CORE + "frontend/search.py",
        "        metadata.check_loadable()\n",
        "",
    ),
    removal(
        "W28",
        "nobody says what differs",
        CORE + "frontend/match.py",
        "    return tuple(_differences(wanted, stored))\n",
        "    return ()\n",
    ),
    removal(
        "W29",
        "run ids are not checked for separators",
        CORE + "format/keys.py",
        r'_SEPARATORS = re.compile(r"[-/\\]")',
        '_SEPARATORS = re.compile("[-]")',
    ),
    removal(
        "W29",
        "a backend does not check paths",
        LOCAL + "backend.py",
        'return checked_path(path).split("/")',
        'return path.split("/")',
    ),
    removal(
        "W30",
        "every name of a run is a number",
        CORE + "context/run_table.py",
        'if number is None and line["name"].isascii() and line["name"].isdigit():',
        "if number is None:",
    ),
    removal(
        "W30",
        "the document of a superrun ends the list",
        CORE + "format/run_document.py",
        "    except ConfigError:\n        return None\n",
        "    except ConfigError:\n        raise\n",
    ),
    removal(
        "W31",
        "a place that fails is passed over without a word",
        CORE + "processing/open_savers.py",
        '            _LOG.warning("%s is not kept in %s: %s", key, frontend.name, error)\n',
        "",
    ),
    removal(
        "W31",
        "a disk mounted read-only is passed over without a word",
        CORE + "processing/open_savers.py",
        "level = logging.WARNING if is_news else logging.DEBUG",
        "level = logging.DEBUG",
    ),
    removal(
        "W31",
        "having nowhere to write is no error for make",
        CORE + "processing/open_savers.py",
        '        raise ReadOnlyError(f"{message} cannot be kept") from next(iter(reasons), None)\n',
        "        return True\n",
    ),
    removal(
        "W31",
        "having nowhere to write is no warning for get_array",
        CORE + "processing/open_savers.py",
        '        _warn(f"{message} is not kept")\n',
        "        return True\n",
    ),
    removal(
        "W32",
        "a key may stand in the options themselves",
        S3 + "options.py",
        'metadata=_said("belongs to access_key_id", secret=True)',
        'metadata=_said("belongs to access_key_id")',
    ),
    removal(
        "W32",
        "a key has a default in the code",
        S3 + "options.py",
        'default=None, metadata=_said("if these credentials have one", secret=True)',
        'default=SecretReference(env="X"), metadata=_said("if one", secret=True)',
    ),
    removal(
        "W33",
        "nobody looks at the module",
        CORE + "processing/plan.py",
        "            _warn_of_namesake(found, request.data_plugins.that_makes(data_type))\n",
        "            pass\n",
    ),
    removal(
        "W33",
        "a class that moved is taken for another",
        CORE + "processing/plan.py",
        "or module == data_plugin.__module__ or source == source_hash(data_plugin):",
        "or module == data_plugin.__module__:",
    ),
    removal(
        "W34",
        "an archive is as near as a disk",
        ZIP + "backend.py",
        "default_storage_type = COMPRESSED",
        "default_storage_type = 1",
    ),
    removal(
        "W34",
        "no document is found in an archive",
        ZIP + "backend.py",
        "            if path not in archive.members:\n",
        '            if "/" not in path or path not in archive.members:\n',
    ),
    removal(
        "W34",
        "a text asks for every field whose name is a part of it",
        CORE + "format/run_document.py",
        "asked: object = [fields] if isinstance(fields, str) else fields",
        "asked: object = [key for key in document if key in fields]",
    ),
    removal(
        "W35",
        "each segment of the journal holds all receipts so far",
        CORE + "saver/journal.py",
        "            infos, self._pending = self._pending, []\n",
        "            infos = list(self._pending)\n",
    ),
    removal(
        "W37",
        "the metadata of a candidate are read for each key and step",
        CORE + "frontend/search.py",
        "        if where not in self.seen:\n",
        "        if True:\n",
    ),
    removal(
        "W37",
        "each key looks at every folder",
        CORE + "frontend/directory.py",
        "                others = of_what.get((key.run_id, key.data_type), ())\n",
        "                wanted = (key.run_id, key.data_type)\n"
        "                parts = self._parts_of\n"
        "                others = [x for x in folders if (parts(x) or ())[:2] == wanted]\n",
    ),
    removal(
        "W38",
        "each key is asked for by itself",
        CORE + "frontend/frontend.py",
        "zip(wanted, self._find_several(wanted, match), strict=True)",
        "zip(wanted, [self._find(each, match) for each in wanted], strict=True)",
    ),
    removal(
        "W42",
        "the place's codec is passed over",
        CORE + "processing/open_savers.py",
        "compressor = frontend.compressor or instance.compressor_for(key.data_type) or default",
        "compressor = instance.compressor_for(key.data_type) or default",
    ),
    removal(
        "W42",
        "the data plugin's codec is passed over",
        CORE + "processing/open_savers.py",
        "compressor = frontend.compressor or instance.compressor_for(key.data_type) or default",
        "compressor = frontend.compressor or default",
    ),
    removal(
        "W42",
        "the call's codec is passed over",
        CORE + "places/copy.py",
        "stated = self.compressor or (None if self.replaces else self.frontend.compressor)",
        "stated = self.frontend.compressor",
    ),
    removal(
        "W43",
        "every copy decodes and encodes",
        CORE + "places/copy.py",
        "        if target.is_form_of(source) and may_move_files(source):\n",
        "        if False:\n",
    ),
    removal(
        "W43",
        "files are copied one after the other",
        CORE + "places/transfer.py",
        "            at_work.add(options.executor.submit(job), n_bytes)\n",
        "            at_work.add(options.executor.submit(job), n_bytes)\n"
        "            at_work.drain()\n",
    ),
    removal(
        "W43",
        "the files of a copy are not read back",
        CORE + "places/transfer.py",
        "    saver.before_commit = partial(_check_files, saver, options)\n",
        "",
    ),
    removal(
        "W43",
        "what is there ends a copy of many",
        CORE + "context/upkeep.py",
        "                there.append(error)\n",
        "                raise\n",
    ),
    removal(
        "W36",
        "a loader reads the metadata again",
        CORE + "frontend/frontend.py",
        "return backend.loader(location.backend_key, metadata=location.metadata)",
        "return backend.loader(location.backend_key)",
    ),
    removal(
        "W39",
        "all data types go to the first backend that is named",
        SQL + "catalogue/targets.py",
        "if fnmatchcase(data_type, pattern)",
        "if pattern",
    ),
    removal(
        "W40",
        "all columns are read",
        CORE + "selection/query.py",
        "return Scan(tuple(dict.fromkeys((*columns, *more, *times))), self.within)",
        "return Scan(within=self.within)",
    ),
    removal(
        "W41",
        "all blocks of a chunk are read",
        CORE + "loader/segments.py",
        "self._edge = Selection(columns, None if self._within is None else self._within.borders)",
        "self._edge = Selection(columns)",
    ),
    removal(
        "W44",
        "chunks come as they are stored or made",
        CORE + "processing/pipeline.py",
        "if self.request.chunk_size_bytes is None:",
        "if True:",
    ),
    removal(
        "W46",
        "no URL leads to a bucket",
        S3 + "hooks.py",
        'schemes=("s3",),',
        "",
    ),
    removal(
        "W46",
        "nothing is written to a bucket",
        S3 + "upload.py",
        '    condition = {"IfNoneMatch": "*"} if create_only else {}\n',
        "    return\n    condition: dict[str, str] = {}\n",
    ),
]
