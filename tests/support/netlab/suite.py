"""Runs test functions and says how they went: one line a test, a count, an exit code."""

import sys
import time
import traceback

from .errors import Skip


def check(condition, what):
    """A promise that must hold; `what` says what was found instead."""
    if not condition:
        raise AssertionError(what)


def run_tests(tests, arguments=None):
    """Runs the functions in order, or those whose names contain one of the command line's words; returns the exit code.

    A test's name is its promise, `_` for spaces.
    """
    words = sys.argv[1:] if arguments is None else arguments
    chosen = [test for test in tests if not words or any(word in test.__name__ for word in words)]
    if not chosen:
        print(f"no test has {' or '.join(words)} in its name")
        return 2
    counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    for test in chosen:
        started = time.monotonic()
        verdict, detail = _run(test)
        counts[verdict] += 1
        print(f"{verdict} {test.__name__}{detail} ({time.monotonic() - started:.2f} s)", flush=True)
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped", flush=True)
    return 1 if counts["FAIL"] else 0


def _run(test):
    try:
        said = test()
        return "PASS", f": {said}" if said else ""
    except Skip as reason:
        return "SKIP", f": {reason}"
    except AssertionError as error:
        return "FAIL", f": {error}"
    except Exception:
        traceback.print_exc()
        return "FAIL", ": see the error above"
