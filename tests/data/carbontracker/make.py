"""Runs Python's Carbontracker so that it writes the logs of this folder; README.md says how."""

import os
import sys
import time
from types import SimpleNamespace

import geocoder
from carbontracker.components import component
from carbontracker.components.handler import Handler
from carbontracker.tracker import CarbonTracker

CPU = {"sim_cpu": "Intel Xeon Gold 6248", "sim_cpu_tdp": 150}
GPU = {"sim_gpu": "NVIDIA A100", "sim_gpu_watts": 400, "sim_gpu_util": 1.0}


def gpus(count):
    """Stands in for so many GPUs, each a little hungrier than the one before."""

    class Gpus(Handler):
        def devices(self):
            return ["NVIDIA A100"] * count

        def available(self):
            return True

        def power_usage(self):
            return [300.0 + n * 12.345678 for n in range(count)]

        def init(self):
            pass

        def shutdown(self):
            pass

    # The name in 1.x, and in 2.x.
    for components in (getattr(component, name, None) for name in ("components", "COMPONENTS")):
        if components:
            components[0]["handlers"] = [Gpus]


def run(name, durations, epochs=None, interval=0.2, **options):
    tracker = CarbonTracker(
        epochs=epochs or len(durations),
        monitor_epochs=-1,
        log_dir=".",
        log_file_prefix=name,
        verbose=2 if name == "old" else 0,  # where 1.x tells nothing its output log stays empty
        update_interval=interval,
        **options,
    )
    for duration in durations:
        tracker.epoch_start()
        time.sleep(duration)
        tracker.epoch_end()
    if name != "killed":
        tracker.stop()


which = sys.argv[1]
if which == "old":
    here = SimpleNamespace(ok=True, address="Umeå, Västerbotten, SE", country="SE", latlng=[63.8, 20.3])
    geocoder.ip = lambda _: here  # 1.x does not run where nobody tells it where it is
    gpus(12)
    run("old", [0.5, 0.8, 0.6], components="gpu")
elif which == "killed":
    run("killed", [0.5, 0.8], epochs=4, **CPU, **GPU)
    os._exit(9)
else:
    run("done", [0.5, 0.8, 0.6], **CPU, **GPU)
    run("early", [0.5, 0.8], epochs=5, components="cpu", **CPU)
    run("command", [0.7], epochs_before_pred=0, **CPU)
    run("short", [0.03, 0.03, 0.6], interval=0.5, components="cpu", **CPU)
    run("bare", [0.6], interpretable=False, components="cpu", **CPU)
    gpus(4)
    run("four", [0.5, 0.8], components="gpu")
