"""Cleaning: each raw record becomes an attempt or gets another fate.

Pure: bytes in, attempts and counts out. A module per idea:

    reading     the JSON value of a record, by a lenient reader with bounds on size and depth
    fields      the allowed values of a verdict, an instant and a text
    passback    one text of ``passback_params``
    sourcedid   course, task and user of a ``lis_result_sourcedid``
    rows        a chunk's records as columns; records of the usual kind are read faster
    moments     a column of instants
    passbacks   a column of ``passback_params``
    rules       the rules that a record must keep; to add a rule, add an entry
    owners      the records of erased students
    seen        the keys of the day's attempts so far
    chunks      the fates of a chunk's records
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
