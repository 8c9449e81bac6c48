"""What can go wrong with the warehouse; each sentence says what to do next.

WarehouseError
├── NotWritable        the folder can't be written
├── InUse              another process has this warehouse open
├── Unreadable         what lies there can't be opened as a warehouse
├── Refused            its catalogue or its data say no to us, or settings don't go together
├── Unreachable        its catalogue or its data don't answer; it goes on by itself once they do
├── InDoubt            the catalogue was lost while rows were committed: they may be in it
├── NewerWarehouse     a newer Pilothouse made it (in `migrations.py`)
├── InvalidRow         a row breaks its record's declaration; nothing of the batch is stored
├── NotStored          the warehouse could not take the rows; none of them are in it
├── TicketGone         what may happen once has happened
└── Conflict           two transactions touched the same row; the other one won
"""

from __future__ import annotations


class WarehouseError(Exception):
    """Something is wrong with the warehouse; the sentence says what to do next."""


class NotWritable(WarehouseError):
    """The folder can't be written."""


class InUse(WarehouseError):
    """Another process has this warehouse open."""


class Unreadable(WarehouseError):
    """What lies there can't be opened as a warehouse."""


class Refused(WarehouseError):
    """Its catalogue or its data say no to us, or settings don't go together."""


class Unreachable(WarehouseError):
    """Its catalogue or its data don't answer; it goes on by itself once they do."""


class InDoubt(WarehouseError):
    """The catalogue was lost while rows were committed: they may be in it or not."""


class InvalidRow(WarehouseError):
    """A row breaks its record's declaration; nothing of the batch is stored."""


class NotStored(WarehouseError):
    """The warehouse could not take the rows; none of them are in it."""


class TicketGone(WarehouseError):
    """What may happen once has happened."""


class Conflict(WarehouseError):
    """Two transactions touched the same row; the other one won."""
