"""What the checks of the statistics say."""

from datetime import date

import dagster as dg

from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.alarms import Alarm, StudentDays, Task, _write_alarms
from lms_assets.statistics.checks import no_task_is_in_alarm

DAY = date(2025, 7, 24)


def test_a_task_in_alarm_is_a_warning_that_names_it(warehouse: Warehouse) -> None:
    alarm = Alarm("collapsed", StudentDays(20, 0), StudentDays(200, 140), 1e-6, DAY)
    with warehouse.begin() as connection:
        _write_alarms(connection, DAY, {Task("", "c1", "loops"): alarm})
    context = dg.build_op_context(partition_key=DAY.isoformat())
    result = no_task_is_in_alarm(context, warehouse=warehouse)
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.metadata["tasks"].value == "collapsed: c1 loops"
