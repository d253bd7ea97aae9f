"""What Carbontracker makes of folders of logs, as JSON: each parsed, aggregated, and its standard logs made into PDFs."""

import contextlib
import glob
import json
import sys
import time

import matplotlib

matplotlib.use("Agg")
import numpy
from carbontracker import parser, report

# The report's bitmaps take seconds at 600 dots an inch. These tests do not use them.
savefig = report.plt.savefig
report.plt.savefig = lambda file, **options: savefig(file, **{**options, "dpi": 40})


def plain(value):
    return value.tolist() if isinstance(value, numpy.ndarray) else float(value)


def pdf(log):
    read = report.LogParser(open(log).read())
    head = {"version": read.version, "pue": read.pue, "location": read.location, "intensity": read.carbon_intensity}
    try:
        report.generate_report_from_log(log, log + ".pdf")
    except ValueError as refused:
        return {**head, "refused": str(refused)}
    return {**head, **read.calculate_energy_metrics(), "begins": open(log + ".pdf", "rb").read(5).decode()}


def answers(folder):
    began = time.perf_counter()
    logs = parser.parse_all_logs(folder)
    parse_s = time.perf_counter() - began
    kwh, grams, equivalents = parser.aggregate_consumption(folder)
    pdfs = [] if folder.endswith("unprinted") else [pdf(log) for log in sorted(glob.glob(folder + "/*_carbontracker.log"))]
    return {"logs": logs, "kwh": kwh, "grams": grams, "equivalents": equivalents, "pdfs": pdfs, "parse_s": parse_s}


with contextlib.redirect_stdout(sys.stderr):
    folders = [answers(folder) for folder in sys.argv[1:]]
print(json.dumps(folders, default=plain).replace("NaN", "null"))
