"""The course, task and user that a ``lis_result_sourcedid`` names."""

from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.passback import dict_within
from lms_assets.attempts.cleaning.reading import LENIENT

# PostgreSQL refuses an index entry of more than 2,704 bytes. The widest index holds a user id (at
# most 1,020 bytes), consumer key, course and task.
MAX_NAME_BYTES: Final = 512


class CutSourcedid(NamedTuple):
    """The parts of a ``lis_result_sourcedid``; None for a part that is missing."""

    course: str | None = None
    task: str | None = None
    user: str | None = None


def cut_sourcedid(sourcedid: str) -> CutSourcedid:
    """The course, task and user that the text names.

    Open edX writes ``context:link:user``, each part URL-quoted. The context may contain colons, so
    the text is cut from the right and the parts are unquoted afterwards: ``course-v1:A+B:x-1:ann``
    names the course ``course-v1:A+B``, the task ``x-1`` and the user ``ann``.

    Moodle writes a JSON object, which some consumers escape for HTML or URLs.

    Course and task are None if the text has fewer than two colons, a part is empty, the object is
    broken, or a name cannot be stored or is too long for an index.

    Source: the LTI consumers of Open edX (``lti_xblock.py``) and Moodle (``mod_lti``).
    """
    moodle = _json_within(sourcedid)
    if moodle is not None:
        course, task, user = _cut_moodle(moodle)
    elif sourcedid.count(":") < 2:
        return CutSourcedid()
    else:
        course, task, user = (
            unquote(part) if "%" in part else part for part in sourcedid.rsplit(":", 2)
        )
    if not (is_name(course) and is_name(task)):
        course = task = None
    return CutSourcedid(course, task, user or None)


def _json_within(sourcedid: str) -> dict[Any, Any] | None:
    """The JSON object in the text, which may be HTML-escaped or URL-quoted.

    Empty for a broken object; None if the text is not an object.
    """
    spellings = [text for text in _spellings(sourcedid) if text.startswith(("{", '"{'))]
    for text in spellings:
        value = dict_within(_unquoted(text))
        if value is not None:
            return value
    return {} if spellings else None


def _spellings(text: str) -> Iterator[str]:
    """The text before any escaping or quoting of it, the likeliest variant first."""
    if not any(sign in text for sign in "{%&"):
        return
    escaped, quoted = unescape(text), unquote(text)
    variants = (text, escaped, quoted, unquote_plus(text), unescape(quoted), unquote(escaped))
    for variant in variants:
        yield variant.strip().removeprefix("\ufeff").lstrip()


def _unquoted(text: str) -> str:
    """The content of a JSON string; any other text unchanged."""
    if text.startswith('"'):
        with suppress(ValueError, RecursionError):
            return str(LENIENT.decode(text))
    return text


def _cut_moodle(value: dict[Any, Any]) -> tuple[str | None, str | None, str | None]:
    data = value.get("data")
    if not isinstance(data, dict):
        return None, None, None
    instance, user = (_moodle_id(data.get(name)) for name in ("instanceid", "userid"))
    return "moodle", instance, user


def _moodle_id(value: object) -> str | None:
    is_id = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_id else None


def is_name(text: str | None) -> bool:
    """Whether the text can be stored and indexed as the name of a course or a task."""
    if not text or not is_storable(text):
        return False
    return len(text.encode()) <= MAX_NAME_BYTES
