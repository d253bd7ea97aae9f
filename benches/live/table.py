"""Prints the tables of a trial: what was forecast before and after epochs 1, 2 and 3, against the outcome.

python3 benches/live/table.py ROWS.csv [energy]     (time, without a second argument)
"""

import csv
import sys
from itertools import groupby
from statistics import fmean

AT = (0, 1, 2, 3)
UNITS = {"time": ("used_s", "time_s", "s", 1.0), "energy": ("used_j", "energy_j", "kJ", 1e-3)}
KEYS = ("program", "marks", "budget", "run")


def number(text):
    return float(text) if text else None


class Run:
    """One run: its rows, one for each number of ended epochs."""

    def __init__(self, key, rows):
        self.program, self.marks, self.budget, self.number = key
        self.rows = {int(row["after"]): row for row in rows}
        self.epochs = int(rows[0]["epochs"])
        self.last = self.rows.get(self.epochs)
        self.load = max(float(row["load"]) for row in rows)

    @property
    def title(self):
        return f"{self.program} | {self.marks} | {self.budget} {self.number}"

    def outcome(self, metric):
        return number(self.last[UNITS[metric][0]])

    def forecast(self, metric, after):
        """Value, low and high; None without a forecast."""
        name, end = UNITS[metric][1].rsplit("_", 1)
        row = self.rows.get(after, {})
        numbers = [number(row.get(field)) for field in (f"{name}_{end}", f"{name}_low_{end}", f"{name}_high_{end}")]
        return None if None in numbers else numbers

    def holds(self, metric, after):
        _, low, high = self.forecast(metric, after)
        return low <= self.outcome(metric) <= high

    def limits(self):
        """The budgets in s and J, with the columns of what was used."""
        hours, kwh = number(self.last["budget_h"]), number(self.last["budget_kwh"])
        return [(field, limit * unit) for field, limit, unit in
                (("used_s", hours, 3600), ("used_j", kwh, 3.6e6)) if limit is not None]

    def is_passed(self, after):
        """Whether what was used after a number of epochs passes a budget."""
        return any((number(self.rows[after][field]) or 0) > limit for field, limit in self.limits())

    def alarms(self):
        """The epochs after which the library's status was over the budget."""
        return [after for after, row in sorted(self.rows.items()) if row["over"] == "1"]

    def warning(self):
        """The epoch after which the first message named a budget; None without one."""
        return next((after for after, row in sorted(self.rows.items()) if row["warnings"] != "0"), None)

    def verdict(self):
        """The verdicts in words, and whether one was wrong: an alarm in a healthy run, or none in one that passes."""
        alarms, warning = self.alarms(), self.warning()
        if not self.limits():
            return "", False
        if not self.is_passed(self.epochs):
            wrong = [f"wrong status after {spans(alarms)}"] if alarms else []
            wrong += [f"wrong message after {warning}"] if warning is not None else []
            return ", ".join(wrong) or "healthy, no alarm", bool(wrong)
        passed = min(after for after in self.rows if self.is_passed(after))
        if not alarms or alarms[0] > passed:
            return f"passed in epoch {passed}, first alarm {'after ' + str(alarms[0]) if alarms else 'never'}", True
        gaps = "" if alarms == list(range(alarms[0], self.epochs + 1)) else f" (after {spans(alarms)})"
        return f"passed in epoch {passed}, alarm after {alarms[0]}{gaps}", False


def spans(numbers):
    """1, 2, 3, 7 as 1-3, 7."""
    found = []
    for value in numbers:
        if found and found[-1][1] == value - 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    key = lambda row: tuple(row[name] for name in KEYS)
    runs = [Run(key, list(rows)) for key, rows in groupby(sorted(rows, key=key), key)]
    for run in runs:
        if run.last is None:
            print(f"{run.title}: unfinished, left out", file=sys.stderr)
    return [run for run in runs if run.last is not None]


def cell(run, metric, after):
    forecast = run.forecast(metric, after)
    if forecast is None:
        return "none"
    value, low, high = (f"{number * UNITS[metric][3]:.3g}" for number in forecast)
    return f"{value} ({low} to {high}){'' if run.holds(metric, after) else ' OUT'}"


def runs_table(runs, metric):
    unit, scale = UNITS[metric][2:]
    heads = ["before"] + [f"after {after}" for after in AT[1:]]
    print(f"| program | marks | run | {' | '.join(heads)} | outcome, {unit} | load | messages | budget |")
    print("| --- | --- | --- | " + "--- | " * len(heads) + "---: | ---: | ---: | --- |")
    for run in runs:
        cells = " | ".join(cell(run, metric, after) for after in AT)
        outcome = f"{run.outcome(metric) * scale:.3g}"
        print(f"| {run.title} | {cells} | {outcome} | {run.load:.1f} | {run.last['messages']} | {run.verdict()[0]} |")


def summary(runs, metric):
    """The scores of the runs without and with an earlier run."""
    groups = {}
    for run in runs:
        which = "first" if run.number == "1" else "later"
        groups.setdefault((run.program, run.marks, which), []).append(run)
        groups.setdefault(("all", run.marks, which), []).append(run)
    print("| program | marks | runs | " + " | ".join(f"k = {after}" for after in AT) + " | wrong verdicts |")
    print("| --- | --- | --- | " + "--- | " * len(AT) + "---: |")
    for group, members in sorted(groups.items(), key=lambda group: group[0][0] == "all"):
        cells = " | ".join(score(members, metric, after) for after in AT)
        wrong = sum(run.verdict()[1] for run in members)
        print(f"| {' | '.join(group)} | {cells} | {wrong} of {len(members)} |")


def score(runs, metric, after):
    """Mean error, how many intervals hold, and their mean width as a share of the outcome."""
    known = [(run.forecast(metric, after), run.outcome(metric)) for run in runs if run.forecast(metric, after)]
    if not known:
        return "none"
    error = 100 * fmean(abs(value / outcome - 1) for (value, _, _), outcome in known)
    width = 100 * fmean((high - low) / outcome for (_, low, high), outcome in known)
    held = sum(low <= outcome <= high for (_, low, high), outcome in known)
    return f"{error:.1f} %, {held} of {len(known)} hold, {width:.0f} % wide"


def main():
    metric = sys.argv[2] if len(sys.argv) > 2 else "time"
    runs = [run for run in read(sys.argv[1]) if run.budget != "none"]
    print(f"Forecast of the run's {metric}, with its interval. OUT: the interval does not hold the outcome.\n")
    runs_table(runs, metric)
    print("\nMean error after k epochs, intervals that hold, their mean width. A `first` run has no history.\n")
    summary(runs, metric)


if __name__ == "__main__":
    main()
