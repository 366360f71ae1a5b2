"""The twelve figures once more, in plain Python from their definitions, to compare with."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import ceil, sqrt
from statistics import mean, median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Figures = dict[Any, dict[str, Any]]
Z = 1.959963984540054


class Attempt(NamedTuple):
    user: str
    at: datetime
    kind: str = "submit"
    correct: bool | None = None
    course: str | None = "c1"
    task: str | None = "t1"
    key: str | None = ""

    @property
    def is_graded(self) -> bool:
        return self.kind == "submit" and self.correct is not None


class Oracle:
    """Every figure of ``attempts`` as of the end of a day."""

    def __init__(
        self, attempts: Iterable[Attempt], zone: str, as_of: date, staff: Collection[str]
    ) -> None:
        self.zone, self.as_of = ZoneInfo(zone), as_of
        kept = [a for a in attempts if a.user not in staff and self.day(a) <= as_of]
        self.attempts = sorted(kept, key=lambda a: (a.user, a.at, a.kind == "submit"))
        self.levels = {"": self.attempts} | grouped(
            (a for a in self.attempts if a.course is not None), lambda a: a.course
        )

    def local(self, a: Attempt) -> datetime:
        return a.at.replace(tzinfo=UTC).astimezone(self.zone)

    def day(self, a: Attempt) -> date:
        return self.local(a).date()

    def first_days(self, course: str) -> dict[str, date]:
        by_user = grouped(self.levels[course], lambda a: a.user)
        return {user: min(map(self.day, mine)) for user, mine in by_user.items()}

    def days(self, course: str) -> Figures:
        by_day = grouped(self.levels[course], self.day)
        firsts = list(self.first_days(course).values())

        def users(day: date, length: int) -> set[str]:
            window = (day - timedelta(days=n) for n in range(length))
            return {a.user for d in window for a in by_day.get(d, ())}

        figures = {}
        for day, mine in by_day.items():
            usual = [len(by_day[d]) for n in (7, 14, 21, 28) if (d := day - timedelta(n)) in by_day]
            dau = [len({a.user for a in by_day.get(day - timedelta(n), ())}) for n in range(30)]
            hours = grouped(mine, lambda a: self.local(a).hour)
            figures[day] = volume(mine) | {
                "new_users": firsts.count(day),
                "returning_users": len(users(day, 1)) - firsts.count(day),
                "wau": len(users(day, 7)),
                "mau": len(users(day, 30)),
                "stickiness_pct": 100 * mean(dau) / len(users(day, 30)),
                "attempts_trend_pct": 100 * (len(mine) / mean(usual) - 1) if usual else None,
                "busiest_hour": min(hours, key=lambda h: (-len(hours[h]), h)),
            }
        return figures

    def pairs(self) -> Figures:
        pairs = grouped(
            (a for a in self.attempts if a.task is not None),
            lambda a: (a.user, a.key or "", a.course, a.task),
        )
        return {key: self.pair(mine) for key, mine in pairs.items()}

    def pair(self, mine: list[Attempt]) -> dict[str, Any]:
        graded = [a for a in mine if a.is_graded]
        solved = next((n for n, a in enumerate(mine) if a.is_graded and a.correct), None)
        until = [] if solved is None else mine[: solved + 1]
        gaps = [b.at - a.at for a, b in pairwise(until)]
        active = [gap for gap in gaps if gap <= timedelta(minutes=30)]
        is_timed = len(until) > 1
        blind = [
            a
            for n, a in enumerate(mine)
            if a.kind == "submit" and (n == 0 or mine[n - 1].kind == "submit")
        ]
        if solved is not None:
            state = "solved"
        elif len(graded) < 5:
            state = "trying"
        else:
            is_late = self.as_of - self.day(graded[-1]) >= timedelta(days=7)
            state = "gave_up" if is_late else "stuck"
        return {
            "attempts": len(mine),
            "runs": sum(a.kind == "run" for a in mine),
            "submits": sum(a.kind == "submit" for a in mine),
            "graded": len(graded),
            "correct": sum(bool(a.correct) for a in graded),
            "first_submit_correct": graded[0].correct if graded else None,
            "attempts_to_solve": sum(a.is_graded for a in until) if until else None,
            "is_instant": not is_timed if until else None,
            "wall_min": (until[-1].at - mine[0].at) / timedelta(minutes=1) if is_timed else None,
            "active_min": sum(active, timedelta()) / timedelta(minutes=1) if is_timed else None,
            "blind_submits": len(blind),
            "blind_graded": sum(a.is_graded for a in blind),
            "blind_correct": sum(bool(a.correct) for a in blind),
            "first_attempt_at": mine[0].at,
            "last_attempt_at": mine[-1].at,
            "last_submit_at": graded[-1].at if graded else None,
            "solved_at": until[-1].at if until else None,
            "state": state,
        }

    def tasks(self) -> Figures:
        by_task = grouped(self.pairs().items(), lambda item: item[0][1:])
        return {key: self.task([pair for _, pair in mine]) for key, mine in by_task.items()}

    def task(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        def total(column: str) -> int:
            return sum(pair[column] for pair in pairs)

        def known(column: str) -> list[Any]:
            return [pair[column] for pair in pairs if pair[column] is not None]

        students, solvers = len(known("first_submit_correct")), len(known("solved_at"))
        first_try = sum(known("first_submit_correct"))
        after_run = total("graded") - total("blind_graded")
        return {
            "users": len(pairs),
            "students": students,
            "solvers": solvers,
            "first_try_pct": share(first_try, students),
            "first_try_low_pct": wilson(first_try, students, -1),
            "first_try_high_pct": wilson(first_try, students, 1),
            "solve_pct": share(solvers, students),
            "submits": total("graded"),
            "ungraded": total("submits") - total("graded"),
            "correct": total("correct"),
            "success_pct": share(total("correct"), total("graded")),
            "median_attempts_to_solve": middle(known("attempts_to_solve")),
            "p90_attempts_to_solve": nearest_rank(known("attempts_to_solve")),
            "attempts_per_solver": total("graded") / solvers if solvers else None,
            "instant_solvers": sum(known("is_instant")),
            "timed_solvers": len(known("wall_min")),
            "median_wall_min": middle(known("wall_min")),
            "p90_wall_min": nearest_rank(known("wall_min")),
            "median_active_min": middle(known("active_min")),
            "p90_active_min": nearest_rank(known("active_min")),
            "stuck": sum(pair["state"] == "stuck" for pair in pairs),
            "gave_up": sum(pair["state"] == "gave_up" for pair in pairs),
            "runs": total("runs"),
            "runs_per_submit": total("runs") / total("submits") if total("submits") else None,
            "blind_pct": share(total("blind_submits"), total("submits")),
            "success_after_run_pct": share(total("correct") - total("blind_correct"), after_run),
            "success_blind_pct": share(total("blind_correct"), total("blind_graded")),
        }

    def students(self) -> Figures:
        def student(mine: list[Attempt]) -> dict[str, Any]:
            days = {self.day(a) for a in mine}
            inactive = (self.as_of - max(days)).days
            return {
                "first_day": min(days),
                "last_day": max(days),
                "attempts": len(mine),
                "active_days": len(days),
                "days_inactive": inactive,
                "activity": "active" if inactive < 7 else "at_risk" if inactive < 14 else "dropped",
            }

        return {u: student(mine) for u, mine in grouped(self.attempts, lambda a: a.user).items()}

    def retention(self) -> Figures:
        figures: Figures = {}
        for course, mine in self.levels.items():
            weeks = {user: monday(day) for user, day in self.first_days(course).items()}
            for cohort in set(weeks.values()):
                members = {user for user, week in weeks.items() if week == cohort}
                for later in range((monday(self.as_of) - cohort).days // 7 + 1):
                    week = cohort + timedelta(weeks=later)
                    seen = {a.user for a in mine if monday(self.day(a)) == week} & members
                    figures[course, cohort, later] = {
                        "students": len(members),
                        "active": len(seen),
                        "active_pct": share(len(seen), len(members)),
                        "is_complete": week + timedelta(days=6) <= self.as_of,
                    }
        return figures

    def heat_map(self) -> Figures:
        first = self.as_of - timedelta(days=27)
        figures: Figures = {}
        for course, all_of_it in self.levels.items():
            recent = [a for a in all_of_it if self.day(a) >= first]
            cells = grouped(recent, lambda a: (self.local(a).isoweekday(), self.local(a).hour))
            for cell, mine in cells.items():
                users = len({a.user for a in mine})
                figures[course, *cell] = {"attempts": len(mine), "users": users}
        return figures

    def periods(self) -> Figures:
        figures: Figures = {}
        for course, all_of_it in self.levels.items():
            firsts = self.first_days(course).values()
            for length in (7, 28, 90, 0):
                first = self.as_of - timedelta(days=length - 1) if length else date.min
                mine = [a for a in all_of_it if self.day(a) >= first]
                if mine:
                    new = sum(day >= first for day in firsts)
                    figures[course, length] = volume(mine) | {"new_users": new}
        return figures


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def volume(mine: list[Attempt]) -> dict[str, Any]:
    per_user = [len(attempts) for attempts in grouped(mine, lambda a: a.user).values()]
    runs = sum(a.kind == "run" for a in mine)
    graded = sum(a.is_graded for a in mine)
    correct = sum(a.is_graded and bool(a.correct) for a in mine)
    return {
        "attempts": len(mine),
        "users": len(per_user),
        "runs": runs,
        "submits": len(mine) - runs,
        "correct": correct,
        "wrong": graded - correct,
        "ungraded": len(mine) - runs - graded,
        "success_pct": share(correct, graded),
        "success_low_pct": wilson(correct, graded, -1),
        "success_high_pct": wilson(correct, graded, 1),
        "correct_of_all_pct": share(correct, len(mine)),
        "run_to_success_pct": share(correct, runs),
        "mean_attempts_per_user": mean(per_user),
        "median_attempts_per_user": median(per_user),
    }


def share(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def wilson(part: int, whole: int, side: int) -> float | None:
    if not whole:
        return None
    p = part / whole
    half = Z * sqrt(p * (1 - p) / whole + Z**2 / (4 * whole**2))
    return 100 * (p + Z**2 / (2 * whole) + side * half) / (1 + Z**2 / whole)


def middle(values: list[Any]) -> float | None:
    return median(values) if values else None


def nearest_rank(values: list[float]) -> float | None:
    return sorted(values)[ceil(len(values) * 9 / 10) - 1] if values else None


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
