"""All thresholds of data quality: above them a day is not loaded, or a check warns."""

import dagster as dg

MIN_REJECTED = 20


class Limits(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The thresholds, in percent.

    Args:
        max_rejected_pct: A day is not loaded if a larger share of its records is rejected, and at
            least 20 records are.
        warn_pct: A check warns if it counts a larger share of the day's records.
        volume_change_pct: A check warns if the day's number of attempts differs more from the mean
            of the same weekday in the four weeks before.
    """

    max_rejected_pct: float = 5.0
    warn_pct: float = 1.0
    volume_change_pct: float = 50.0

    def too_many_rejected(self, rejected: int, received: int) -> bool:
        """Whether so many records are rejected that the day must not be loaded."""
        return rejected >= MIN_REJECTED and rejected * 100 > received * self.max_rejected_pct
