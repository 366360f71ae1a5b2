"""Figures 13 to 15 once more, in plain Python from their definitions, to compare with."""

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from math import atanh, comb, sqrt, tanh
from statistics import mean
from typing import Any

from lms_assets_tests.statistics.oracle import Attempt, Figures, Oracle, Z, grouped

Task = tuple[str, str, str]


def task_of(a: Attempt) -> Task | None:
    return (a.key or "", a.course, a.task) if a.course and a.task is not None else None


# ------------------------------------------------------------------ 13


def tails(x: int, n: int, y: int, m: int) -> tuple[Fraction, Fraction]:
    """The probabilities of x or fewer, and of x or more, among n of n + m with x + y solved."""
    solved = x + y
    possible = range(max(0, solved - m), min(n, solved) + 1)
    ways = {k: comb(solved, k) * comb(n + m - solved, n - k) for k in possible}
    total = comb(n + m, n)
    fewer = sum(w for k, w in ways.items() if k <= x)
    more = sum(w for k, w in ways.items() if k >= x)
    return Fraction(fewer, total), Fraction(more, total)


def adjusted(p: list[Fraction]) -> list[Fraction]:
    """For each probability the least p(j) * all / j of those that are no smaller."""
    ranked = sorted(p)
    return [
        min([Fraction(1), *(q * len(p) / (j + 1) for j, q in enumerate(ranked) if q >= one)])
        for one in p
    ]


def student_days(oracle: Oracle) -> dict[date, dict[Task, tuple[int, int]]]:
    """Day → task → students with an S, and those with a correct one."""
    seen: dict[tuple[date, Task], dict[str, bool]] = defaultdict(dict)
    for a in oracle.attempts:
        task = task_of(a)
        if task and a.is_graded:
            mine = seen[oracle.day(a), task]
            mine[a.user] = mine.get(a.user, False) or bool(a.correct)
    days: dict[date, dict[Task, tuple[int, int]]] = defaultdict(dict)
    for (day, task), students in seen.items():
        days[day][task] = (len(students), sum(students.values()))
    return days


def alarms(oracle: Oracle) -> Figures:
    """(day, task) → kind, since, q and the shares."""
    days = student_days(oracle)
    found: Figures = {}
    going_on: dict[Task, dict[str, Any]] = {}
    left_out: dict[Task, set[date]] = defaultdict(set)
    day = min(days, default=oracle.as_of)
    while day <= oracle.as_of:
        for task in list(going_on):
            if day - going_on[task]["since"] >= timedelta(28):
                del going_on[task]
                left_out[task].clear()
        tested = {}
        for task, (n, x) in days.get(day, {}).items():
            usual = [day - timedelta(k) for k in range(1, 29)]
            counted = [
                days[d][task] for d in usual if d not in left_out[task] and task in days.get(d, {})
            ]
            m, y = sum(c[0] for c in counted), sum(c[1] for c in counted)
            if n >= 8 and m >= 20:
                tested[task] = (n, x, m, y)
        sides = [p for n, x, m, y in tested.values() for p in tails(x, n, y, m)]
        q = adjusted(sides)
        for place, (task, (n, x, m, y)) in enumerate(tested.items()):
            low, high = q[2 * place], q[2 * place + 1]
            kind = None
            if low <= Fraction(1, 100) and Fraction(x, n) <= Fraction(y, m) / 3:
                kind, value = "collapsed", low
            if high <= Fraction(1, 100) and Fraction(n - x, n) <= Fraction(m - y, m) / 3:
                kind, value = "surged", high
            if kind is None:
                going_on.pop(task, None)
                continue
            before = going_on.get(task)
            since = before["since"] if before and before["kind"] == kind else day
            going_on[task] = {"kind": kind, "since": since}
            left_out[task].add(day)
            found[day, *task] = {
                "kind": kind,
                "since": since,
                "q": float(value),
                "students": n,
                "solved": x,
                "solved_pct": 100 * x / n,
                "usual_pct": 100 * y / m,
                "usual_student_days": m,
            }
        day += timedelta(1)
    return found


# ------------------------------------------------------------------ 14


def pearson(pairs: list[tuple[float, float]]) -> float:
    mine, others = mean(a for a, _ in pairs), mean(b for _, b in pairs)
    together = sum((a - mine) * (b - others) for a, b in pairs)
    return together / sqrt(
        sum((a - mine) ** 2 for a, _ in pairs) * sum((b - others) ** 2 for _, b in pairs)
    )


def discrimination(oracle: Oracle) -> Figures:
    first_tries: dict[tuple[str, str], dict[Task, int]] = defaultdict(dict)
    for (user, key, course, task), pair in oracle.pairs().items():
        if pair["graded"]:
            first_tries[user, course][key, course, task] = int(pair["first_submit_correct"])
    compared: dict[Task, list[tuple[int, Fraction]]] = defaultdict(list)
    for tries in first_tries.values():
        for task, own in tries.items():
            others = [other for name, other in tries.items() if name != task]
            if len(others) >= 5:
                compared[task].append((own, Fraction(sum(others), len(others))))
    figures: Figures = {}
    for task, pairs in compared.items():
        if len(pairs) < 30 or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
            continue
        r = pearson([(float(a), float(b)) for a, b in pairs])
        low, high = (tanh(atanh(r) + s * Z / sqrt(len(pairs) - 3)) for s in (-1, 1))
        state = "weak" if r < 0.1 else "fair" if r < 0.3 else "good"
        figures[task] = {
            "compared_students": len(pairs),
            "discrimination": r,
            "discrimination_low": low,
            "discrimination_high": high,
            "discrimination_state": "negative" if high < 0 else state,
        }
    return figures


# ------------------------------------------------------------------ 15


def stops(oracle: Oracle) -> Figures:
    figures: Figures = {}
    for course, mine in oracle.levels.items():
        if not course:
            continue
        by_user = grouped(mine, lambda a: a.user)
        dropped = {
            user: max(theirs, key=lambda a: (a.at, a.kind == "submit", bool(a.correct), a.task))
            for user, theirs in by_user.items()
            if (oracle.as_of - max(map(oracle.day, theirs))).days >= 14
        }
        if len(dropped) < 10:
            continue
        last = grouped(dropped.items(), lambda one: task_of(one[1]))
        for task, stopped in last.items():
            solvers = sum(
                any(task_of(a) == task and a.is_graded and a.correct for a in by_user[user])
                for user, _ in stopped
            )
            figures[task] = {
                "stopped": len(stopped),
                "stopped_solvers": solvers,
                "dropped_students": len(dropped),
                "stopped_pct": 100 * len(stopped) / len(dropped),
            }
    return figures
