"""Receipts: what an erasure removed and when, without the student's id."""

from dataclasses import dataclass, fields

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Receipt:
    """What an erasure removed in all its calls. The receipt does not name the student.

    Attributes:
        id: The id of its row in ``erasure_receipts``.
        days: Days whose books were corrected.
        attempts: Rows of ``attempts``.
        rejected_records: Rows of ``rejected_records``.
        other_rows: Rows of the tables of figures and of adopted tables.
        raw_objects: Rewritten raw answers.
        raw_records: Records removed from raw answers.
        cleaned_objects: Rewritten cleaned objects.
        cleaned_rows: Rows removed from cleaned objects.
    """

    id: int
    days: int
    attempts: int
    rejected_records: int
    other_rows: int
    raw_objects: int
    raw_records: int
    cleaned_objects: int
    cleaned_rows: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was removed."""
        return not any(getattr(self, name) for name in _NUMBERS if name != "id")


_NUMBERS = tuple(field.name for field in fields(Receipt))


def open_receipt(connection: Connection, hashed: str) -> int:
    """The id of the student's open receipt: that of an interrupted erasure, or a new one."""
    statement = """
        insert into erasure_receipts (hash) values (:hash)
        on conflict (hash) where ended_at is null do update set begun_at = now() returning id
    """
    return int(connection.execute(text(statement), {"hash": hashed}).scalar_one())


def note(connection: Connection, receipt: int, **removed: int) -> None:
    """The receipt's counts are raised by ``removed``: column → number."""
    sums = ", ".join(f"{name} = {name} + :{name}" for name in removed)
    statement = f"update erasure_receipts set {sums} where id = :receipt"
    connection.execute(text(statement), {"receipt": receipt, **removed})


def receipt_of(connection: Connection, receipt: int) -> Receipt:
    """The receipt with its present counts."""
    statement = f"select {', '.join(_NUMBERS)} from erasure_receipts where id = :id"
    row = connection.execute(text(statement), {"id": receipt}).mappings().one()
    return Receipt(**{str(name): value for name, value in row.items()})


def close_receipt(connection: Connection, receipt: int) -> None:
    """The receipt is closed: the erasure is complete."""
    statement = "update erasure_receipts set ended_at = now() where id = :id"
    connection.execute(text(statement), {"id": receipt})
