"""Measures and forecasts the energy and the CO2e of a training or time loop.

    from libcarbontracker import Tracker

    with Tracker(epochs=10, location="DK") as tracker:
        for epoch in tracker.epochs(10):
            train_one_epoch()
        print(tracker.report())

The module calls the C library carbontracker. Tracking never stops a training: without the library, one warning explains
what is missing, and every tracker is disabled. A disabled tracker accepts every call and does nothing.

Units are in every name: _s seconds, _j joules, _kwh kilowatt-hours, _w watts, _g grams of CO2e.
"""

import contextlib
import ctypes
import json
import logging
import os
import threading

from ._library import DISABLED, ENOENT, ERANGE, ESTATE, OVER_BUDGET, get_include, get_library, load

__all__ = ["CarbonError", "Tracker", "get_include", "get_library", "version"]

_log = logging.getLogger("libcarbontracker")
_c = load()


def version():
    """The version of the C library, such as "0.1.0"; None if it is not loaded."""
    return _c.ct_version().decode() if _c else None


class CarbonError(RuntimeError):
    """The library refused a call, and nothing changed. The message has the reason and the fix.

    `status` is the library's ct_status, a negative number.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def _check(status):
    if status < 0:
        raise CarbonError(status, _c.ct_last_error().decode("utf-8", "replace"))
    return status


def _text_of(call):
    """The text that `call(buffer, size, needed)` writes; None if there is none. The buffer grows until it fits."""
    size, needed = 4096, ctypes.c_size_t()
    while True:
        buffer = ctypes.create_string_buffer(size)
        status = call(buffer, size, ctypes.byref(needed))
        if status == ERANGE:
            size = needed.value
        elif status in (ENOENT, DISABLED):
            return None
        else:
            _check(status)
            return buffer.value.decode("utf-8", "replace")


def _option(key, value):
    if isinstance(value, (list, tuple, set, frozenset)):
        value = ",".join(str(one) for one in value)
    quoted = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{quoted}'"


class _Epoch:
    """An epoch that a block or a loop began. `of_loop`: the next begin may cancel it."""

    def __init__(self, of_loop=False):
        self.of_loop = of_loop


class _Handle:
    """The library's pointer. It is freed when it is closed and no thread is in a call with it."""

    def __init__(self):
        self.pointer, self._calls, self._end = ctypes.c_void_p(), 0, None
        self._lock, self._process = threading.RLock(), os.getpid()

    def __bool__(self):
        return bool(self.pointer) and self._end is None

    def call(self, function, *arguments):
        """Calls a function with the pointer; DISABLED if there is none or it is closed."""
        if os.getpid() != self._process:  # a forked child: the library refuses, and the lock may be held for ever
            return function(self.pointer, *arguments) if self else DISABLED
        with self._lock:
            if not self:
                return DISABLED
            self._calls += 1
        try:
            return function(self.pointer, *arguments)
        finally:
            self._leave()

    def close(self, end):
        """Ends the tracker by this function, now or when the last call returns. In a forked child it does nothing."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self:
                return
            self._end, self._calls = end, self._calls + 1
        self._leave()

    def _leave(self):
        with self._lock:
            self._calls -= 1
            is_last = self._calls == 0 and self._end is not None
        if is_last:
            self._end(self.pointer)


class Tracker:
    """A tracked run.

    The options are keywords, or the library's `key=value` text, or both (the keywords win):

        Tracker(epochs=100, location="DK", components=["cpu", "gpu"])
        Tracker("epochs=100 location=DK")

    Each is also an environment variable, CARBONTRACKER_<KEY>. An option with the value None is ignored.
    `Tracker(None)` is a disabled tracker. With `log=True` the messages of the library go to the logger
    "libcarbontracker" when the tracker is made, when an epoch ends and when it is closed; otherwise `messages` has them.
    `log="stderr"` is the option of the library, which prints them.

    Any thread may call. A tracker belongs to the process that made it; a forked child makes its own.

    Raises CarbonError for an unknown option or a bad value; the message names it.
    """

    def __init__(self, options="", *, log=False, **keywords):
        self._handle, self._epoch = _Handle(), None
        self._log, self.over_budget = log is True, False
        if options is None or not _c:
            return
        if not isinstance(log, bool):
            keywords["log"] = log  # the library's option of this name
        given = [_option(key, value) for key, value in keywords.items() if value is not None]
        _check(_c.ct_create(" ".join([options, *given]).encode(), ctypes.byref(self._handle.pointer)))
        self._log_messages()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __bool__(self):
        """Whether the tracker is enabled."""
        return bool(self._handle)

    def __repr__(self):
        return f"<carbontracker {self.line()}>" if self else "<carbontracker disabled>"

    def _repr_html_(self):
        page = self.report("html").replace("&", "&amp;").replace('"', "&quot;")
        frame = '<iframe title="carbontracker" style="width:100%;height:40em;border:0" srcdoc="{}"></iframe>'
        return frame.format(page) if self else "carbontracker: disabled"

    def close(self):
        """Ends the tracker after a last reading, within 250 ms. An open epoch is cancelled. Take the report before.

        A call that another thread is making ends first. A second close does nothing.
        """
        with contextlib.suppress(CarbonError):  # in a forked child, which has nothing to log
            self._log_messages()
        self._handle.close(_c.ct_destroy if _c else None)

    def __del__(self):
        handle = getattr(self, "_handle", None)
        if handle:
            handle.close(_c.ct_release if _c else None)

    def epoch_begin(self):
        """Begins an epoch: stamps the clock and returns. Raises CarbonError if an epoch is open."""
        self._begin(_Epoch())

    def epoch_end(self):
        """Ends the open epoch. Returns whether the run passes budget_kwh, budget_g or budget_h, as `over_budget`."""
        self._epoch = None
        status = _check(self._handle.call(_c.ct_epoch_end)) if self else DISABLED
        if status != DISABLED:
            self.over_budget = status == OVER_BUDGET
            self._log_messages()
        return self.over_budget

    def epoch_cancel(self):
        """Cancels the open epoch: it does not count, and the forecast ignores it."""
        self._epoch = None
        if self:
            _check(self._handle.call(_c.ct_epoch_cancel))

    @contextlib.contextmanager
    def epoch(self):
        """An epoch around a block: `with tracker.epoch():`. An exception cancels it."""
        mine = self._begin(_Epoch())
        try:
            yield self
        except BaseException:
            self._cancel(mine)
            raise
        self._end(mine)

    def epochs(self, count):
        """Iterates over range(count), with an epoch around each pass.

        `break` and an exception cancel the epoch of their pass; call epoch_end() before `break` to count it.
        """
        return self._passes(range(count))

    def remaining(self, count):
        """Iterates as `epochs`, from the epochs that earlier attempts of a resumed run have done."""
        return self._passes(range(int(self.get("/run/epochs_done", 0)), count))

    def _passes(self, numbers):
        for number in numbers:
            mine = self._begin(_Epoch(of_loop=True))
            try:
                yield number
            except GeneratorExit:
                self._cancel(mine)
                raise
            self._end(mine)

    def _begin(self, epoch):
        """Begins an epoch. A loop that was left may have left its epoch open: that one is cancelled."""
        if self:
            status = self._handle.call(_c.ct_epoch_begin)
            if status == ESTATE and self._epoch and self._epoch.of_loop:
                self._cancel(self._epoch)
                status = self._handle.call(_c.ct_epoch_begin)
            _check(status)
            self._epoch = epoch
        return epoch

    def _end(self, epoch):
        """Ends this epoch, unless the body has ended or cancelled it."""
        if self._epoch is epoch:
            self.epoch_end()

    def _cancel(self, epoch):
        """Cancels this epoch, if it is open. A failure must not hide the user's exception."""
        if epoch is not None and self._epoch is epoch:
            self._epoch = None
            if self:
                self._handle.call(_c.ct_epoch_cancel)

    def phase_begin(self, name):
        """Begins a named phase within the open ones, in an epoch or outside. One thread marks the phases of a tracker.

        The report has its time and energy: `tracker["/phases/rows/solve/energy_j"]`, and for a phase in "step"
        "/phases/rows/step~1solve/energy_j". Raises CarbonError for a name that does not have 1 to 128 bytes, and if 64
        phases are open.
        """
        if self:
            _check(self._handle.call(_c.ct_phase_begin, name.encode()))

    def phase_end(self):
        """Ends the innermost open phase. Raises CarbonError if none is open."""
        if self:
            _check(self._handle.call(_c.ct_phase_end))

    @contextlib.contextmanager
    def phase(self, name):
        """A named phase around a block: `with tracker.phase("solve"):`. It ends in every way out of the block."""
        self.phase_begin(name)
        try:
            yield self
        finally:
            if self:  # a failure must not hide the user's exception; the library reports it by a message
                self._handle.call(_c.ct_phase_end)

    def progress(self, done, total):
        """Sets the progress of the open epoch, in batches or time steps. It is cheap: call it after every batch."""
        if self:
            # Both are unsigned in C. A negative number becomes an invalid pair.
            done, total = (1, 0) if done < 0 or total < 0 else (int(done), int(total))
            _check(self._handle.call(_c.ct_progress, done, total))

    def batches(self, items):
        """Iterates over the items and sets the progress of the epoch after each. They need a length."""
        total = len(items)
        for done, item in enumerate(items, 1):
            epoch = self._epoch
            yield item
            if epoch is not None and self._epoch is epoch and done <= total:
                self.progress(done, total)

    def run_progress(self, done, total):
        """Sets the progress of the whole run, in any unit; it needs no epochs. Returns `over_budget`."""
        status = _check(self._handle.call(_c.ct_run_progress, done, total)) if self else DISABLED
        if status != DISABLED:
            self.over_budget = status == OVER_BUDGET
        return self.over_budget

    def __getitem__(self, pointer):
        """One number of the report by its JSON Pointer, `tracker["/usage/energy_j"]`; None if it is unknown."""
        return self.get(pointer)

    def get(self, pointer, default=None):
        """One number of the report by its JSON Pointer, or the default. "/epochs/length" is the number of epochs.

        Raises CarbonError for a pointer that no report has.
        """
        number = ctypes.c_double()
        status = self._handle.call(_c.ct_value, pointer.encode(), ctypes.byref(number)) if self else DISABLED
        if status in (ENOENT, DISABLED):
            return default
        _check(status)
        return number.value

    def text(self, pointer):
        """One text of the report, `tracker.text("/intensity/zone")`, or a part of it as JSON; None if it is unknown."""
        if not self:
            return None
        return _text_of(lambda *buffer: self._handle.call(_c.ct_text, pointer.encode(), *buffer))

    def section(self, pointer=""):
        """A part of the report as dicts and lists, `tracker.section("/usage")`; None if it is unknown."""
        text = self.report("json") if pointer == "" else self.text(pointer)
        return json.loads(text) if text else None

    def report(self, format="text"):
        """The report as "text", "line", "json", "csv", "prometheus" or "html"; empty if the tracker is disabled."""
        if not self:
            return ""
        return _text_of(lambda *buffer: self._handle.call(_c.ct_report, format.encode(), *buffer)) or ""

    def line(self):
        """The report in one line, for a progress bar."""
        return self.report("line").strip()

    def messages(self):
        """Takes the messages since the last call: what is not measured and the fix, a forecast, a passed budget."""
        taken = []
        while self:
            message = _text_of(lambda *buffer: self._handle.call(_c.ct_message, *buffer))
            if message is None:
                break
            taken.append(message)
        return taken

    def _log_messages(self):
        if self._log:
            for message in self.messages():
                _log.info("%s", message)
