"""What is still normal: every threshold of the data's quality, in one place."""

import dagster as dg

MIN_REJECTED = 20


class Limits(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Above these a day fails or a check warns.

    Args:
        max_rejected_pct: A day with more refused records (and at least 20) is not loaded.
        warn_pct: A share of the day's attempts above which a check warns.
        volume_change_pct: How far a day may be from the same weekday of the four weeks before.
    """

    max_rejected_pct: float = 5.0
    warn_pct: float = 1.0
    volume_change_pct: float = 50.0

    def too_many_rejected(self, rejected: int, received: int) -> bool:
        """Whether a day's refused records say that the day cannot be trusted."""
        return rejected >= MIN_REJECTED and rejected * 100 > received * self.max_rejected_pct
