"""What Carbontracker makes of a folder of logs, as JSON: parsed, aggregated, and the PDF report of each standard log."""

import contextlib
import glob
import io
import json
import sys
import time

import matplotlib

matplotlib.use("Agg")
import numpy
from carbontracker import parser, report

# The report's bitmaps take seconds at its 600 dots an inch, and nobody looks at these.
savefig = report.plt.savefig
report.plt.savefig = lambda file, **options: savefig(file, **{**options, "dpi": 40})


def plain(value):
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    return float(value)


def pdf(log):
    read = report.LogParser(open(log).read())
    told = {"version": read.version, "pue": read.pue, "location": read.location, "intensity": read.carbon_intensity}
    try:
        report.generate_report_from_log(log, log + ".pdf")
        return {**told, **read.calculate_energy_metrics(), "bytes": len(open(log + ".pdf", "rb").read())}
    except ValueError as refused:
        return {**told, "refused": str(refused)}


folder = sys.argv[1]
with contextlib.redirect_stdout(io.StringIO()):
    began = time.perf_counter()
    logs = parser.parse_all_logs(folder)
    took = time.perf_counter() - began
    energy, grams, equivalents = parser.aggregate_consumption(folder)
    pdfs = [pdf(log) for log in sorted(glob.glob(folder + "/*_carbontracker.log"))]
result = {"logs": logs, "kwh": energy, "grams": grams, "equivalents": equivalents, "pdfs": pdfs, "parse_s": took}
print(json.dumps(result, default=plain).replace("NaN", "null"))
