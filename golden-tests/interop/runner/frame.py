"""What every run has around it: a working folder, the processes that it starts, signals and the clock.

Owns: that nothing is left behind, however a run ends. Does not know what is run.
"""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from runner.children import Children


def say(text):
    """Prints at once, so that a long run can be followed."""
    print(text, flush=True)


def run(name, keep, body):
    """Calls `body(children, folder)`; returns what it returned and how many seconds it took."""
    # A plain TERM would end the run without stopping what it started; a shell's background job ignores INT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix=f"mcpc-{name}-"))
    started = time.monotonic()
    try:
        with Children() as children:
            outcome = body(children, folder)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if keep:
            say(f"working folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome, time.monotonic() - started
