"""One expression cuts the usual ``passback_params`` as the rules would, one by one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.attempts.cleaning.passbacks import CutPassback, cut_by_rules, cut_passback
from lms_assets.attempts.cleaning.sourcedid import MAX_NAME_BYTES

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SIGNS = st.text("ab:%{&}\\'\"\n\0 ~Ж", max_size=12)
EDGES = st.sampled_from([MAX_NAME_BYTES - 1, MAX_NAME_BYTES, MAX_NAME_BYTES + 1]).map("a".__mul__)
NAMES = st.text("abc", min_size=1, max_size=3) | EDGES | SIGNS
SOURCEDIDS = st.lists(NAMES, min_size=1, max_size=4).map(":".join)
FIELDS = ("oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")
FIELD_VALUES = st.tuples(NAMES, SOURCEDIDS, st.none() | NAMES)


def as_received(fields: tuple[str | None, ...]) -> str:
    """The usual spelling, with nothing escaped that would have to be."""
    pairs = zip(FIELDS, fields, strict=True)
    return "{" + ", ".join(f"'{name}': '{text}'" for name, text in pairs if text is not None) + "}"


def as_literal(fields: tuple[str | None, ...]) -> str:
    pairs = zip(FIELDS, fields, strict=True)
    return repr(dict(pairs))


@given(FIELD_VALUES.map(as_received) | FIELD_VALUES.map(as_literal) | SIGNS)
@settings(max_examples=1000)
def test_the_usual_text_says_what_the_rules_say_one_by_one(text: str) -> None:
    assert cut_passback(text) == cut_by_rules(text)


def test_the_usual_text_is_cut_from_the_right() -> None:
    sourcedid = "course-v1:Org+Course+Run:link:user"
    fields = cut_passback(as_received(("key", sourcedid, "https://a/b")))
    assert CutPassback(*fields) == CutPassback(
        is_readable=True,
        oauth_consumer_key="key",
        lis_result_sourcedid=sourcedid,
        course="course-v1:Org+Course+Run",
        task="link",
        sourcedid_user="user",
        lis_outcome_service_url="https://a/b",
    )
