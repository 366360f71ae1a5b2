"""The table and the plot of the load, and the page that keeps the last run's."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.load import Results
from benchmarks.results import Row, as_table

NAMES = {
    "limit": "(a) COPY of ready rows, the limit",
    "ours": "(b) ours, to the commit",
    "ours_run": "(b+) ours, the whole run",
    "dlt_arrow": "(c) dlt, Arrow",
    "dlt_dicts": "(c) dlt, dicts",
    "etl": "(d) the earlier pipeline's method",
    "row_each": "(e) a statement and a commit a row",
    "to_sql": "(f) pandas.to_sql",
}
KINDS = {"": "first load", "_again": "the same again", "_changed": "1 % changed"}
HEAD = """\
| | first load | × limit | the same again | 1 % changed | peak memory |
|---|---:|---:|---:|---:|---:|"""
PLACE = "<!-- {name} -->"


def load_rows(results: Results) -> list[Row]:
    """The figures of the load that have a bar."""
    ours, run = results.median_s("ours"), results.median_s("ours_run")
    again = results.median_s("ours_run_again")
    least = results.median_s("fetch_again") + results.median_s("empty_run")
    return [
        Row("(b) first load", ours, results.ratio("ours"), 2.5, "(a)"),
        *(
            Row(f"(b) against {NAMES[peer]}", ours, results.median_s(peer) / ours, bar, "", True)
            for peer, bar in (("etl", 6), ("dlt_dicts", 7), ("dlt_arrow", 2))
        ),
        Row("(b+) the whole run", run, results.ratio("ours_run"), 6, "(a)"),
        Row(
            "(b), 1 % changed",
            results.median_s("ours_changed"),
            results.ratio("ours_changed"),
            2.5,
            "(a)",
        ),
        Row("(b+), the same bytes again", again, again / least, 1.5, "fetch, store, empty run"),
    ]


def load_section(results: Results) -> str:
    """Seconds per million records of every way, then the bars."""
    rounds = f"Medians of {len(results.seconds['ours'])} rounds.\n"
    lines = [rounds, HEAD, *(_line(results, name) for name in NAMES)]
    return "\n".join(lines) + "\n\n" + as_table(load_rows(results))


def _line(results: Results, name: str) -> str:
    cells = [
        f"{results.median_s(name + kind):.1f} s" if name + kind in results.seconds else ""
        for kind in KINDS
    ]
    peak = max(results.peak_mb[name])
    first, *others = cells
    cells = [NAMES[name], first, f"{results.ratio(name):.1f}", *others, f"{peak:.0f} MB"]
    return f"| {' | '.join(cells)} |"


def plot(results: Results) -> str:
    """The first load of every way as bars, the fastest first; an SVG."""
    import vl_convert

    values = [
        {"way": NAMES[name], "seconds": round(results.median_s(name), 1)}
        for name in sorted(NAMES, key=results.median_s)
    ]
    order = [value["way"] for value in values]
    y = {
        "field": "way",
        "type": "nominal",
        "sort": order,
        "title": None,
        "axis": {"labelLimit": 300},
    }
    x = {"field": "seconds", "type": "quantitative", "scale": {"type": "log"}, "title": None}
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "Seconds for a million attempts, first load (logarithmic)",
        "width": 480,
        "data": {"values": values},
        "encoding": {"y": y, "x": x},
        "layer": [
            {"mark": {"type": "bar", "color": "#2f6fce"}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4},
                "encoding": {"text": {"field": "seconds"}},
            },
        ],
    }
    return str(vl_convert.vegalite_to_svg(spec))


def write(page: Path, sections: Mapping[str, str], *, machine: str, now: datetime) -> None:
    """Each section stands under its mark on the page, with the day and the machine."""
    text = page.read_text(encoding="utf-8")
    for name, section in sections.items():
        mark = PLACE.format(name=name)
        stamp = f"Measured on {now:%Y-%m-%d}, {machine}."
        pattern = re.compile(re.escape(mark) + r".*?" + re.escape(mark), re.DOTALL)
        text = pattern.sub(lambda _, m=mark, s=section, t=stamp: f"{m}\n{t}\n\n{s}\n{m}", text)
    page.write_text(text, encoding="utf-8")
