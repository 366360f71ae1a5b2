"""How a fault reaches Dagster: with its code, its remedy, and no secret."""

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from lms_assets.faults import Fault, TemporaryFault
from lms_assets.faults.folders import folder_errors_as_faults
from lms_assets.faults.masking import Mask
from lms_assets.settings import load_settings

FAULT = "fault"
FACTS = "facts"
NEEDS_A_PERSON = "needs_a_person"


@contextmanager
def faults_as_failures() -> Iterator[None]:
    """A fault in the block becomes a Dagster failure that says why and what to do.

    An error that is no fault is raised as it is, unless its traceback holds a secret.

    Raises:
        dagster.Failure: Its metadata holds the fault's code and facts, from which the letter is
            written. Dagster does not retry a permanent fault.
    """
    try:
        with folder_errors_as_faults():
            yield
    except Fault as fault:
        raise failure(fault) from None
    except Exception as error:
        mask = Mask(load_settings().secret_values)
        text = "".join(traceback.format_exception(error))
        if mask.mask(text) != text:
            raise dg.Failure(mask.mask(text)) from None
        raise


def failure(fault: Fault) -> dg.Failure:
    """The fault as a Dagster failure, without secrets."""
    mask = Mask(load_settings().secret_values).mask
    return dg.Failure(
        mask(str(fault)),
        metadata={
            FAULT: fault.code,
            FACTS: json.dumps(_masked(fault.facts, mask), ensure_ascii=False),
            NEEDS_A_PERSON: not isinstance(fault, TemporaryFault),
        },
        allow_retries=isinstance(fault, TemporaryFault),
    )


def _masked(fact: object, mask: Callable[[str], str]) -> object:
    """The fact as JSON can hold it, masked before it is JSON: a mask could cut an escape in two."""
    if isinstance(fact, Mapping):
        return {str(name): _masked(value, mask) for name, value in fact.items()}
    if isinstance(fact, list | tuple):
        return [_masked(value, mask) for value in fact]
    return fact if fact is None or isinstance(fact, int | float) else mask(str(fact))
