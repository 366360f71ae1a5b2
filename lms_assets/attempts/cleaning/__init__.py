"""What a raw record must be to become an attempt, and the one fate that each record has.

Pure: bytes in, attempts and counts out. A module per idea:

    reading     what a record says: JSON, leniently, within bounds
    fields      what a verdict, an instant and a text may be
    passback    ``passback_params``
    sourcedid   course and task
    rows        a chunk's records as columns; those of the usual kind are read faster
    moments     a column of instants
    passbacks   a column of ``passback_params``
    rules       what must hold of a record: another rule is one entry there
    owners      whose a record is
    seen        the day's attempts so far
    chunks      a chunk's fates
"""

from lms_assets.attempts.cleaning.chunks import CleanedChunk, clean_answer, clean_day
from lms_assets.attempts.cleaning.owners import Tombstones, is_erased
from lms_assets.attempts.cleaning.reading import MAX_DEPTH, MAX_RECORD_BYTES
from lms_assets.attempts.cleaning.rows import Rows
from lms_assets.attempts.cleaning.rules import CODE_VERSION, FIRST_MOMENT, RULES, Rule, broken_rules
from lms_assets.attempts.cleaning.sourcedid import MAX_NAME_BYTES, CutSourcedid, cut_sourcedid
from lms_assets.attempts.columns import MAX_USER_ID_LENGTH
from lms_assets.days import Window
from lms_assets.resources.records import NotAnArray, count_records, record_chunks

__all__ = [
    "CODE_VERSION",
    "FIRST_MOMENT",
    "MAX_DEPTH",
    "MAX_NAME_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_USER_ID_LENGTH",
    "RULES",
    "CleanedChunk",
    "CutSourcedid",
    "NotAnArray",
    "Rows",
    "Rule",
    "Tombstones",
    "Window",
    "broken_rules",
    "clean_answer",
    "clean_day",
    "count_records",
    "cut_sourcedid",
    "is_erased",
    "record_chunks",
]
