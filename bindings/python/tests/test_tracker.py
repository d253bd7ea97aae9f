"""Tests of the package: python3 -m unittest discover -s bindings/python/tests"""

import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import libcarbontracker as ct  # noqa: E402
from libcarbontracker import CarbonError, Tracker, _library  # noqa: E402


def simulated(**options):
    return Tracker(sim_cpu="x:100", **{"components": "cpu", **options})


class Loops(unittest.TestCase):
    def test_epochs_of_all_forms_are_counted(self):
        with simulated(epochs=8) as tracker:
            self.assertEqual(list(tracker.epochs(3)), [0, 1, 2])
            with tracker.epoch():
                tracker.progress(1, 2)
            tracker.epoch_begin()
            self.assertFalse(tracker.epoch_end())
            self.assertEqual(tracker["/run/epochs_done"], 5)
            self.assertEqual(tracker["/epochs/length"], 5)

    def test_break_and_exceptions_cancel_the_epoch(self):
        with simulated() as tracker:
            for epoch in tracker.epochs(5):
                if epoch == 1:
                    break
            with self.assertRaises(ZeroDivisionError):
                with tracker.epoch():
                    1 / 0
            for epoch in tracker.epochs(5):
                tracker.epoch_end()
                if epoch == 1:
                    break
            self.assertEqual(tracker["/run/epochs_done"], 3)
            self.assertFalse(any("refused" in note for note in tracker.section("/notes")))

    def test_exception_in_a_loop_leaves_no_open_epoch(self):
        with simulated() as tracker:
            try:
                for _ in tracker.epochs(5):
                    raise KeyError("mine")
            except KeyError:
                pass
            gc.collect()
            tracker.epoch_begin()
            tracker.epoch_end()
            self.assertEqual(tracker["/run/epochs_done"], 1)

    def test_resumed_run_does_the_remaining_epochs(self):
        with tempfile.TemporaryDirectory() as folder:
            options = {"epochs": 5, "resume": folder, "log_dir": folder, "name": "part"}
            with simulated(**options) as tracker:
                self.assertEqual(list(tracker.remaining(2)), [0, 1])
            with simulated(**options) as tracker:
                self.assertEqual(list(tracker.remaining(5)), [2, 3, 4])

    def test_batches_set_the_progress(self):
        with simulated(epochs=2) as tracker:
            with tracker.epoch():
                seen = [tracker.get("/run/progress", 0) for _ in tracker.batches("abcd")]
                self.assertEqual(seen, [0, 0.25, 0.5, 0.75])
            self.assertRaises(CarbonError, tracker.progress, 1, 2)

    def test_budget_is_reported(self):
        with simulated(budget_h=1e-9) as tracker:
            tracker.run_progress(0, 3)
            for done in (1, 2, 3, 3):
                tracker.run_progress(done, 3)
                self.assertIsNotNone(tracker["/usage/duration_s"])
            self.assertTrue(tracker.run_progress(3, 3) and tracker.over_budget)


class Phases(unittest.TestCase):
    def entries(self, tracker, path):
        return tracker.get(f"/phases/rows/{path}/entries", 0)

    def assert_none_open(self, tracker):
        with self.assertRaisesRegex(CarbonError, "no phase is open") as refused:
            tracker.phase_end()
        self.assertEqual(refused.exception.status, -2)

    def test_blocks_nest_and_have_time_and_energy(self):
        with simulated() as tracker:
            with tracker.epoch(), tracker.phase("step"):
                with tracker.phase("löse"):
                    time.sleep(0.03)
            seconds = tracker["/phases/rows/step~1löse/duration_s"]
            self.assertGreaterEqual(seconds, 0.03)
            self.assertAlmostEqual(tracker["/phases/rows/step/energy_j"] / (100 * seconds), 1, delta=0.2)
            rows = tracker.section("/phases")["rows"]
            self.assertEqual([row["path"] for row in rows], ["step", "step/löse", ""])
            self.assertIsNone(tracker["/phases/rows/stop/energy_j"])

    def test_every_way_out_of_a_block_ends_its_phase(self):
        def leave(tracker, way):
            for _ in range(2):
                with tracker.phase("left"):
                    if way == "break":
                        break
                    if way == "return":
                        return
                    if way == "raise":
                        raise KeyError("mine")

        with simulated() as tracker:
            for way in ("through", "break", "return"):
                leave(tracker, way)
            with self.assertRaisesRegex(KeyError, "mine"):
                leave(tracker, "raise")
            self.assertEqual(self.entries(tracker, "left"), 5)
            self.assert_none_open(tracker)
            with tracker.phase("ended"):
                tracker.phase_end()
            self.assertTrue(any("ct_phase_end was refused" in message for message in tracker.messages()))
            with tracker.phase("closed"):
                tracker.close()

    def test_bad_names_and_too_many_are_refused(self):
        with simulated() as tracker:
            for name in ("", "n" * 129):
                with self.assertRaises(CarbonError) as refused:
                    with tracker.phase(name):
                        self.fail("the block ran")
                self.assertEqual(refused.exception.status, -1)
            for _ in range(64):
                tracker.phase_begin("deep")
            self.assertRaisesRegex(CarbonError, "too many phases", tracker.phase_begin, "deep")
            for _ in range(64):
                tracker.phase_end()
            self.assert_none_open(tracker)
        tracker = Tracker(None)
        with tracker.phase("any"):
            tracker.phase_begin("other")
            tracker.phase_end()


class Reports(unittest.TestCase):
    def test_values_texts_and_sections(self):
        with simulated(epochs=4, name="it's \\ é", location="DK") as tracker:
            for _ in tracker.epochs(2):
                pass
            self.assertEqual(tracker.text("/run/name"), "it's \\ é")
            self.assertEqual(tracker.text("/intensity/zone"), "DK")
            self.assertIsNone(tracker.text("/run/job"))
            self.assertEqual(tracker.section("/components")[0]["kind"], "cpu")
            self.assertEqual(tracker.section()["run"]["epochs_done"], 2)
            self.assertEqual(json.loads(tracker.report("json"))["run"]["epochs_planned"], 4)
            self.assertIn("2/4", tracker.line())
            self.assertTrue(tracker._repr_html_().startswith("<iframe"))

    def test_text_longer_than_the_first_buffer_is_whole(self):
        with simulated(name="n" * 9000) as tracker:
            self.assertEqual(tracker.text("/run/name"), "n" * 9000)

    def test_misspelt_pointer_is_refused_with_a_suggestion(self):
        with simulated() as tracker:
            with self.assertRaisesRegex(CarbonError, "did you mean /usage/energy_j"):
                tracker["/usage/enrgy_j"]
            self.assertRaises(CarbonError, tracker.text, "run/name")
            self.assertRaises(CarbonError, tracker.report, "yaml")

    def test_messages_are_taken_once_or_logged(self):
        with simulated(epochs=2) as tracker:
            self.assertTrue(any("location" in message for message in tracker.messages()))
            self.assertEqual(tracker.messages(), [])
        with self.assertLogs("libcarbontracker", "INFO") as logs:
            simulated(log=True).close()
        self.assertTrue(any("location" in line for line in logs.output))


class Ends(unittest.TestCase):
    def test_wrong_option_is_named(self):
        with self.assertRaisesRegex(CarbonError, "epohcs") as refused:
            Tracker(epohcs=3)
        self.assertEqual(refused.exception.status, -1)

    def test_disabled_tracker_accepts_every_call(self):
        tracker = Tracker(None)
        self.assertEqual(list(tracker.epochs(2)), [0, 1])
        with tracker.epoch():
            tracker.progress(1, 2)
        self.assertEqual((tracker["/pue"], tracker.text("/run/name"), tracker.report(), tracker.messages()), (None, None, "", []))
        self.assertFalse(tracker or tracker.run_progress(1, 2) or tracker.section())
        tracker.close()

    def test_closed_and_forgotten_trackers_end(self):
        tracker = simulated()
        tracker.close()
        tracker.close()
        self.assertFalse(tracker)
        with tempfile.TemporaryDirectory() as folder:
            simulated(log_dir=folder).epoch_begin()
            gc.collect()
            reports = lambda: [path for path in Path(folder).glob("*.json")]
            for _ in range(500):
                if reports():
                    break
                time.sleep(0.01)
            self.assertEqual(json.loads(reports()[0].read_text())["run"]["epochs_done"], 0)

    def test_loop_that_was_left_disturbs_no_later_one(self):
        with simulated() as tracker:
            left = tracker.epochs(5)
            for _ in left:
                tracker.epoch_end()
                break
            tracker.epoch_begin()
            left.close()
            tracker.epoch_end()
            kept = tracker.epochs(5)
            next(kept)
            self.assertEqual(list(tracker.epochs(2)), [0, 1])  # its first begin cancels the epoch that was left open
            kept.close()
            self.assertEqual(tracker["/run/epochs_done"], 4)

    def in_a_process(self, body):
        """Runs the body in a child, which a crash would end by a signal."""
        head = "import sys; sys.path.insert(0, {!r}); from libcarbontracker import Tracker\n"
        code = head.format(str(Path(__file__).parent.parent)) + textwrap.dedent(body)
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_tracker_and_its_loop_are_collected_together(self):
        self.in_a_process(
            """
            class Bar:
                def __init__(self, items):
                    self.items, self.me = items, self

                def __iter__(self):
                    return iter(self.items)

            def run():
                bar = Bar(Tracker(sim_cpu="x:10").epochs(5))
                for _ in bar:
                    break

            import gc
            for _ in range(20):
                run()
                gc.collect()
            run()
            """
        )

    def test_close_during_the_calls_of_other_threads_is_safe(self):
        self.in_a_process(
            """
            import threading
            for _ in range(10):
                tracker = Tracker(sim_cpu="x:10")
                def ask():
                    while tracker:
                        tracker.report("json")
                threads = [threading.Thread(target=ask) for _ in range(3)]
                for thread in threads:
                    thread.start()
                tracker.report()
                tracker.close()
                for thread in threads:
                    thread.join()
            """
        )

    def test_forked_child_is_told(self):
        with simulated() as tracker:
            child = os.fork()
            if child == 0:
                try:
                    tracker.epoch_begin()
                except CarbonError as refused:
                    tracker._log = True
                    tracker.close()  # raises nothing
                    os._exit(0 if refused.status == -6 else 2)
                os._exit(1)
            self.assertEqual(os.waitpid(child, 0)[1], 0)


class Library(unittest.TestCase):
    @unittest.skipUnless("CT_HEADER" in os.environ, "CT_HEADER names carbontracker.h")
    def test_functions_are_those_of_the_header(self):
        header = Path(os.environ["CT_HEADER"]).read_text()
        code = re.sub(r"/\*.*?\*/|^#.*?$", "", header, flags=re.S | re.M)
        declared = {name: [one for one in arguments.split(",") if one.strip() != "void"]
                    for name, arguments in re.findall(r"\b(ct_\w+)\(([^)]*)\);", code)}
        self.assertEqual(set(declared), set(_library.FUNCTIONS))
        for name, (_, arguments) in _library.FUNCTIONS.items():
            self.assertEqual(len(arguments), len(declared[name]), name)

    def test_version(self):
        self.assertRegex(ct.version(), r"^\d+\.\d+\.\d+$")


class Frameworks(unittest.TestCase):
    """With the real packages, where they are installed."""

    @unittest.skipUnless(importlib.util.find_spec("keras"), "keras is not installed")
    def test_keras(self):
        import keras
        import numpy
        from libcarbontracker.keras import EnergyCallback

        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(loss="mse")
        with simulated(epochs=3) as tracker:
            model.fit(numpy.ones((64, 4)), numpy.ones(64), epochs=3, verbose=0, callbacks=[EnergyCallback(tracker)])
            self.assertEqual(tracker["/run/epochs_done"], 3)

    @unittest.skipUnless(importlib.util.find_spec("transformers"), "transformers is not installed")
    def test_transformers(self):
        from transformers import TrainerCallback
        from libcarbontracker.transformers import EnergyCallback

        class State:
            max_steps, global_step = 4, 0

        class Control:
            should_training_stop = False

        with simulated(epochs=2) as tracker:
            callback, state, control = EnergyCallback(tracker), State(), Control()
            self.assertIsInstance(callback, TrainerCallback)
            for _ in range(2):
                callback.on_epoch_begin(None, state, control)
                for _ in range(2):
                    state.global_step += 1
                    callback.on_step_end(None, state, control)
                callback.on_epoch_end(None, state, control)
            self.assertEqual(tracker["/run/epochs_done"], 2)


if __name__ == "__main__":
    unittest.main()
