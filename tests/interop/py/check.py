"""Named checks: one line each on standard output, a plan at the end, and an exit code.

`ok - name` or `not ok - name` with the reason below it, then `1..n`, as beside it in JavaScript.
"""

import json
import os
import sys
import traceback

URL = os.environ["CLOUD_URL"]
KEY = os.environ["CLOUD_KEY"]
DEMO = json.loads(os.environ["CLOUD_DEMO"])

_seen = 0
_failed = 0


def check(name):
    """Runs the decorated function at once. A failed check does not hide those after it."""

    def run(work):
        global _seen, _failed
        _seen += 1
        try:
            work()
            print(f"ok - {name}", flush=True)
        except Exception:
            _failed += 1
            print(f"not ok - {name}")
            print("  " + traceback.format_exc().replace("\n", "\n  "), flush=True)
        return work

    return run


def done():
    """Ends the list of checks. A script that stops before this has failed."""
    print(f"1..{_seen}", flush=True)
    sys.exit(1 if _failed else 0)


def failure(kind, work):
    """The exception of `kind` that `work` must end with."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")
