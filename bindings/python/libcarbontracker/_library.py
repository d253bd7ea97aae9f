"""Finds and loads the C library."""

import ctypes
import os
import warnings

DISABLED, OVER_BUDGET = 1, 2
ESTATE, ERANGE, ENOENT = -2, -3, -4
ABI_VERSION = 0
_HERE = os.path.dirname(os.path.abspath(__file__))
_SONAME = "libcarbontracker.so.0"

_run, _text, _out = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER
_buffer = (ctypes.c_char_p, ctypes.c_size_t, _out(ctypes.c_size_t))
# The functions of carbontracker.h: what they return, and their arguments. A test compares them with the header.
FUNCTIONS = {
    "ct_create": (ctypes.c_int32, (_text, _out(_run))),
    "ct_epoch_begin": (ctypes.c_int32, (_run,)),
    "ct_epoch_end": (ctypes.c_int32, (_run,)),
    "ct_epoch_cancel": (ctypes.c_int32, (_run,)),
    "ct_phase_begin": (ctypes.c_int32, (_run, _text)),
    "ct_phase_end": (ctypes.c_int32, (_run,)),
    "ct_progress": (ctypes.c_int32, (_run, ctypes.c_uint64, ctypes.c_uint64)),
    "ct_run_progress": (ctypes.c_int32, (_run, ctypes.c_double, ctypes.c_double)),
    "ct_value": (ctypes.c_int32, (_run, _text, _out(ctypes.c_double))),
    "ct_text": (ctypes.c_int32, (_run, _text, *_buffer)),
    "ct_report": (ctypes.c_int32, (_run, _text, *_buffer)),
    "ct_message": (ctypes.c_int32, (_run, *_buffer)),
    "ct_destroy": (None, (_run,)),
    "ct_release": (None, (_run,)),
    "ct_last_error": (_text, ()),
    "ct_error": (ctypes.c_int32, (_run, *_buffer)),
    "ct_status_string": (_text, (ctypes.c_int32,)),
    "ct_version": (_text, ()),
    "ct_abi_version": (ctypes.c_uint32, ()),
}


def _candidates():
    """The paths to try: CARBONTRACKER_LIB alone if it is set; or the wheel's library, the installed one, the system's."""
    named = os.environ.get("CARBONTRACKER_LIB")
    if named:
        return [named]
    prefix = os.path.normpath(os.path.join(_HERE, "..", "..", "..", ".."))  # of share/carbontracker/python
    own = [os.path.join(folder, "lib", _SONAME) for folder in (_HERE, prefix)]
    return [path for path in own if os.path.exists(path)] + [_SONAME]


def load():
    """The library with its functions; None, after a warning, if there is none that fits."""
    problems = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            for name, (result, arguments) in FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as problem:
            problems.append(f"{path}: {problem}")
            continue
        abi = library.ct_abi_version()
        if abi == ABI_VERSION:
            return library
        found = library.ct_version().decode()
        problems.append(f"{path} has version {found} and ABI {abi}, this module needs ABI {ABI_VERSION}")
    warnings.warn(
        "libcarbontracker: the C library cannot be loaded, so nothing is tracked: "
        + "; ".join(problems)
        + ". Install it, or set CARBONTRACKER_LIB to its path before the import",
        RuntimeWarning,
        stacklevel=3,
    )
    return None


def get_library():
    """The path of the wheel's C library, for a program to link; None: this package has none."""
    path = os.path.join(_HERE, "lib", _SONAME)
    return path if os.path.exists(path) else None


def get_include():
    """The folder of the wheel's headers, for a compiler's -I; None: this package has none."""
    path = os.path.join(_HERE, "include")
    return path if os.path.exists(path) else None
