"""A whole Ceph on this machine: monitor, object stores, and the RADOS Gateway that speaks S3.

From Debian's packages (`install-debian.sh`), without systemd, keys between daemons, or a manager.
"""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any, Literal

import pytest
from processes import START_S, Running, free_port, program
from s3_server import S3Server, certificate

INSTALL = "run tests/servers/install-debian.sh"
STORE_BYTES = 8 << 30
SETTINGS = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
public addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
# The gateway's default is `secure`, which needs keys: without these lines it waits for ever.
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
log to stderr = false
crash dir = {folder}
keyring = {folder}/none.keyring
osd pool default size = {n_copies}
osd pool default min size = {n_copies_at_least}
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
paxos propose interval = 0.05
paxos min wait = 0.01
mon data avail warn = 1
mon data avail crit = 1
[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
mon initial members = a
[osd]
osd data = {folder}/osd.$id
osd objectstore = {store}
memstore device bytes = {store_bytes}
memstore page set = true
bluestore block size = {store_bytes}
bluestore block create = true
osd memory target = 939524096
osd op num shards = 4
[client]
rgw data = {folder}/rgw
rgw enable usage log = false
rgw run sync thread = false
# What is deleted is freed by a collector; its default is two hours, which fills a test store.
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw rados pool pg num min = 4
rgw thread pool size = 64
rgw max concurrent requests = 128
rgw user quota bucket sync interval = 1
rgw bucket quota ttl = 0
rgw bucket quota cache size = 0
rgw user quota sync interval = 1
"""


class Ceph:
    """A cluster in a folder. Killed and started again, one on `bluestore` has kept its data."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = False,
        store: Literal["memstore", "bluestore"] = "memstore",
        n_osds: int = 1,
    ) -> None:
        self._folder, self._store, self._n_osds = folder, store, n_osds
        self._running: dict[str, Running] = {}
        self._mon_port, self._port = free_port(), free_port()
        self._certificate = certificate(folder) if tls else None
        self._settings = folder / "ceph.conf"
        self.server = S3Server(
            endpoint_url=f"http{'s' if tls else ''}://127.0.0.1:{self._port}",
            access_key="testaccess",
            secret_key="testsecretkey1234",
            ca_bundle=str(self._certificate[0]) if self._certificate else None,
        )

    def start(self) -> None:
        """Start all daemons, and make the cluster if it is new; ready when this returns."""
        is_new = not self._settings.exists()
        if is_new:
            self._make_monitor()
        self._spawn(
            "mon", self._mon_port, "ceph-mon", "-f", "-i", "a", "--public-addr", "127.0.0.1"
        )
        for number in range(self._n_osds):
            if is_new:
                self._make_osd(number)
            self._spawn(f"osd.{number}", None, "ceph-osd", "-f", "-i", str(number))
        self._wait_for_osds()
        tls = self._certificate
        front = f"beast endpoint=127.0.0.1:{self._port}"
        if tls is not None:
            front = f"beast ssl_endpoint=127.0.0.1:{self._port} ssl_certificate={tls[0]}"
            front += f" ssl_private_key={tls[1]}"
        # Without `tcp_nodelay`, each small answer takes 40 ms.
        arguments = ["--name", "client.rgw", "--rgw-frontends", f"{front} tcp_nodelay=1"]
        self._spawn("rgw", self._port, "radosgw", "-f", *arguments)
        if is_new:
            keys = [
                f"--access-key={self.server.access_key}",
                f"--secret-key={self.server.secret_key}",
            ]
            self.admin("user", "create", "--uid=test", "--display-name=test", *keys)

    def stop(self) -> None:
        """End all daemons, the gateway first."""
        for running in reversed(self._running.values()):
            running.end()
        self._running.clear()

    def kill(self) -> None:
        """End all daemons at once, as a power cut would."""
        for running in self._running.values():
            running.kill()
        self._running.clear()

    def kill_osd(self, number: int) -> None:
        """End one object store at once."""
        self._running.pop(f"osd.{number}").kill()

    def admin(self, *arguments: str) -> Any:
        """Run `radosgw-admin`; return the JSON that it answers, or None."""
        answer = self._run("radosgw-admin", *arguments)
        return json.loads(answer) if answer.strip() else None

    def ceph(self, *arguments: str) -> str:
        """Run `ceph`; return what it answers."""
        return self._run("ceph", *arguments)

    def _make_monitor(self) -> None:
        for name in ("mon", "rgw", *(f"osd.{number}" for number in range(self._n_osds))):
            (self._folder / name).mkdir()
        (self._folder / "none.keyring").touch()
        fsid = str(uuid.uuid4())
        self._settings.write_text(
            SETTINGS.format(
                fsid=fsid,
                folder=self._folder,
                mon_port=self._mon_port,
                n_copies=self._n_osds,
                n_copies_at_least=max(1, self._n_osds - 1),
                store=self._store,
                store_bytes=STORE_BYTES,
            )
        )
        monitors = str(self._folder / "monmap")
        address = f"[v2:127.0.0.1:{self._mon_port}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monitors)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", os.devnull)

    def _make_osd(self, number: int) -> None:
        identity = str(uuid.uuid4())
        self.ceph("osd", "new", identity, str(number))
        if self._store == "bluestore":
            block = self._folder / f"osd.{number}" / "block"
            block.touch()
            os.truncate(block, STORE_BYTES)
        names = ("-i", str(number), "--osd-uuid", identity)
        self._run("ceph-osd", "--mkfs", *names, "--no-mon-config")

    def _wait_for_osds(self) -> None:
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            if json.loads(self.ceph("osd", "stat", "-f", "json"))["num_up_osds"] == self._n_osds:
                return
        pytest.fail(f"the object stores of Ceph did not start; see {self._folder}", pytrace=False)

    def _spawn(self, name: str, port: int | None, command: str, *arguments: str) -> None:
        log = self._folder / f"{name}.out"
        whole = [program(command, INSTALL), "-c", str(self._settings), *arguments]
        self._running[name] = Running(whole, log)
        if port is not None:
            self._running[name].wait_for(port)

    def _run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [program(command, INSTALL), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
            env={**os.environ, "CEPH_CONF": str(self._settings)},
        )
        if done.returncode:
            pytest.fail(f"{command} {' '.join(arguments)}:\n{done.stderr[-3000:]}", pytrace=False)
        return done.stdout
