"""What a server must not forget: received images, studies to enhance, series to deliver. An SQLite database.

Every change is one transaction that is on the disk when its method returns (write-ahead log, synchronous=FULL), so
that a server killed at any moment goes on where the last returned call left it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from med_stylesr.service.pacs.queue_records import Delivery, Instance, Study

NAME: Final = "queue.sqlite"
RECEIVING: Final = "receiving"
ENHANCED: Final = "enhanced"
NOTHING: Final = "nothing"
PENDING: Final = "pending"
SENT: Final = "sent"
DEAD: Final = "dead"
DISCARDED: Final = "discarded"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS study (
  key TEXT PRIMARY KEY, uid TEXT NOT NULL, state TEXT NOT NULL, changed REAL NOT NULL, version INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS instance (
  sop_uid TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES study (key), file TEXT NOT NULL, digest TEXT NOT NULL,
  bytes INTEGER NOT NULL, enhanceable INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS instance_study ON instance (study);
CREATE INDEX IF NOT EXISTS study_state ON study (state, changed);
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY, study TEXT NOT NULL REFERENCES study (key), folder TEXT NOT NULL, destination TEXT NOT NULL,
  state TEXT NOT NULL, changed REAL NOT NULL, sent INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  next_try REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', UNIQUE (folder, destination));
CREATE INDEX IF NOT EXISTS delivery_turn ON delivery (destination, state, next_try);
"""


class Queue:
    """The database; safe to use from several threads.

    Args:
        folder: where it lies; made if needed.

    Attributes:
        lock: held during every change; hold it to make a change and one to the disk belong together.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(folder / NAME, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self.lock:
            self._connection.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself (full disk).
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _all(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self.lock, closing(self._connection.execute(query, values)) as cursor:
            return [dict(row) for row in cursor.fetchall()]

    def instance(self, sop_uid: str) -> Instance | None:
        """The image of this UID, if it was taken."""
        rows = self._all("SELECT * FROM instance WHERE sop_uid = ?", sop_uid)
        return Instance(**rows[0]) if rows else None

    def instances(self, study: str) -> list[Instance]:
        """All images of a study."""
        return [Instance(**row) for row in self._all("SELECT * FROM instance WHERE study = ?", study)]

    def files(self) -> set[str]:
        """Where all images are."""
        return {str(row["file"]) for row in self._all("SELECT file FROM instance")}

    def add(self, instance: Instance, study_uid: str, now: float) -> None:
        """Record an image; its study is (again) one that waits to be complete."""
        with self._change() as db:
            db.execute(
                "INSERT INTO study (key, uid, state, changed, version) VALUES (?, ?, ?, ?, 1) ON CONFLICT (key) DO "
                "UPDATE SET state = ?, changed = ?, version = version + 1, attempts = 0, next_try = 0, reason = ''",
                (instance.study, study_uid, RECEIVING, now, RECEIVING, now),
            )
            values = tuple(vars(instance).values())
            db.execute(f"INSERT INTO instance VALUES ({', '.join('?' * len(values))})", values)

    def studies(self, *states: str) -> list[Study]:
        """Studies in any of these states, the longest unchanged first."""
        marks = ", ".join("?" * len(states))
        rows = self._all(f"SELECT * FROM study WHERE state IN ({marks}) ORDER BY changed", *states)
        return [Study(**row) for row in rows]

    def enhanced(self, study: Study, folders: Sequence[str], destinations: Sequence[str], now: float) -> None:
        """Record that a study was worked off, and with it, in one step, what is to be delivered.

        Args:
            study: as it was when work began; if images came since, it stays one that waits to be complete.
            folders: derived series, relative to the server's folder; those known already are left as they are.
            destinations: names of the destinations.
            now: time.
        """
        with self._change() as db:
            _plan(db, study, folders, destinations, now)
            db.execute(
                "UPDATE study SET state = ?, changed = ?, attempts = 0, next_try = 0, reason = '' "
                "WHERE key = ? AND version = ?",
                (ENHANCED if folders else NOTHING, now, study.key, study.version),
            )

    def deliver(self, study: Study, folders: Sequence[str], destinations: Sequence[str], now: float) -> None:
        """Record what is to be delivered of a study that is not yet worked off; arguments as of `enhanced`."""
        with self._change() as db:
            _plan(db, study, folders, destinations, now)

    def study_failed(self, study: Study, reason: str, next_try: float | None, now: float) -> None:
        """Record a failure; without a next try the study is dead until somebody asks for it again."""
        state = RECEIVING if next_try is not None else DEAD
        with self._change() as db:
            db.execute(
                "UPDATE study SET state = ?, attempts = attempts + 1, next_try = ?, reason = ?, changed = ? "
                "WHERE key = ? AND version = ?",
                (state, next_try or 0, reason, now, study.key, study.version),
            )

    def deliveries(self, *states: str) -> list[Delivery]:
        """Deliveries in any of these states, the oldest first."""
        marks = ", ".join("?" * len(states))
        return [Delivery(**row) for row in self._all(f"SELECT * FROM delivery WHERE state IN ({marks})", *states)]

    def next_delivery(self, destination: str, due_until: float, due_after: float) -> Delivery | None:
        """The delivery to a destination whose turn it is: it may be tried before one time, or not before another."""
        rows = self._all(
            "SELECT * FROM delivery WHERE destination = ? AND state = ? AND (next_try <= ? OR next_try > ?) "
            "ORDER BY next_try, id LIMIT 1",
            *(destination, PENDING, due_until, due_after),
        )
        return Delivery(**rows[0]) if rows else None

    def progressed(self, delivery: int, sent: int) -> None:
        """Record how many images of a delivery its destination has confirmed."""
        with self._change() as db:
            db.execute("UPDATE delivery SET sent = ? WHERE id = ?", (sent, delivery))

    def delivered(self, delivery: int, now: float) -> None:
        """Record that a delivery arrived whole."""
        with self._change() as db:
            db.execute("UPDATE delivery SET state = ?, changed = ?, reason = '' WHERE id = ?", (SENT, now, delivery))

    def delivery_failed(self, delivery: int, reason: str, next_try: float | None, now: float) -> None:
        """Record a failure; without a next try the delivery is dead until somebody asks for it again."""
        with self._change() as db:
            db.execute(
                "UPDATE delivery SET state = ?, attempts = attempts + 1, next_try = ?, reason = ?, changed = ? "
                "WHERE id = ?",
                (PENDING if next_try is not None else DEAD, next_try or 0, reason, now, delivery),
            )

    def revive(self) -> int:
        """Make everything dead wait for its first try again; returns how much it was."""
        return self._settle_dead(RECEIVING, PENDING)

    def discard(self) -> int:
        """Give everything dead up for good; returns how much it was."""
        return self._settle_dead(NOTHING, DISCARDED)

    def _settle_dead(self, study: str, delivery: str) -> int:
        change = "UPDATE {} SET state = ?, attempts = 0, next_try = 0 WHERE state = ?"
        with self._change() as db:
            settled = db.execute(change.format("study"), (study, DEAD)).rowcount
            return settled + db.execute(change.format("delivery"), (delivery, DEAD)).rowcount

    def removable(self, before: float) -> list[Study]:
        """Studies that are over and delivered to all destinations since before a time."""
        rows = self._all(
            "SELECT * FROM study WHERE state IN (?, ?) AND changed < ? AND NOT EXISTS (SELECT 1 FROM delivery "
            "WHERE delivery.study = study.key AND (delivery.state NOT IN (?, ?) OR delivery.changed >= ?))",
            *(ENHANCED, NOTHING, before, SENT, DISCARDED, before),
        )
        return [Study(**row) for row in rows]

    def remove(self, study: Study) -> bool:
        """Forget a study, unless images came since; returns whether it was forgotten."""
        with self._change() as db:
            unchanged = db.execute(
                "SELECT 1 FROM study WHERE key = ? AND version = ? AND state = ?",
                (study.key, study.version, study.state),
            ).fetchone()
            if unchanged is None:
                return False
            for table in ("delivery", "instance"):
                db.execute(f"DELETE FROM {table} WHERE study = ?", (study.key,))
            db.execute("DELETE FROM study WHERE key = ?", (study.key,))
        return True

    def counts(self, table: str) -> dict[str, int]:
        """How many studies or deliveries are in each state.

        Args:
            table: "study" or "delivery".
        """
        rows = self._all(f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state")
        return {str(row["state"]): int(row["n"]) for row in rows}


def _plan(
    db: sqlite3.Connection, study: Study, folders: Sequence[str], destinations: Sequence[str], now: float
) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO delivery (study, folder, destination, state, changed) VALUES (?, ?, ?, ?, ?)",
        [(study.key, folder, name, PENDING, now) for folder in folders for name in destinations],
    )
