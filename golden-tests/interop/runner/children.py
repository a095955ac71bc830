"""Child processes: each in a process group of its own, each stopped by that group, whatever happens.

Owns: starting, waiting for and stopping. Does not know what the processes are.
"""

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

STOP_SECONDS = 10


class Children:
    """Every process this run started and has not stopped yet."""

    def __init__(self):
        self._running = []
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        """Stops everything that runs and starts nothing any more; whoever waits for a process is let go."""
        with self._lock:
            self._closed = True
            remaining = list(reversed(self._running))
        for child in remaining:
            self.stop(child)

    def start(self, argv, **options):
        """Starts a process with no standard input, in its own group."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with self._lock:
            if self._closed:
                raise InterruptedError("the run is being stopped")
            child = subprocess.Popen([str(word) for word in argv], start_new_session=True, **options)
            self._running.append(child)
        return child

    def run(self, argv, seconds, **options):
        """Runs a process to its end or its deadline; returns (exit status or None, standard output, standard error)."""
        child = self.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        try:
            out, err = child.communicate(timeout=seconds)
            return child.returncode, out, err
        except subprocess.TimeoutExpired:
            signal_group(child, signal.SIGKILL)
            out, err = child.communicate()
            return None, out, err
        finally:
            self.stop(child)

    def stop(self, child):
        """TERM to the group, KILL after a grace period; returns the exit status."""
        if child.poll() is None:
            signal_group(child, signal.SIGTERM)
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        # What the process left behind in its group goes too, also when the process itself ended by its own will.
        signal_group(child, signal.SIGKILL)
        status = child.wait()
        with self._lock:
            if child in self._running:
                self._running.remove(child)
        return status


def signal_group(child, number):
    """Signals the group that the child leads, if there is anything left in it."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(child, port, seconds):
    """Waits until the port accepts connections; false if the child ends or the time is up first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def wait_for_ok(child, url, seconds):
    """Waits until the URL answers 200; returns the last answer otherwise."""
    last = "no answer"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return None
        except urllib.error.HTTPError as error:
            last = f"status {error.code}"
        except OSError as error:
            last = str(error)
        time.sleep(0.05)
    return last if child.poll() is None else f"it ended with status {child.returncode}"


def descendants(pid):
    """Processes below `pid` as (pid, start time), read from /proc; empty where there is no /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = (int(fields[1]), fields[19])
    found, wanted = [], [pid]
    while wanted:
        parent = wanted.pop()
        for child, (of, started) in parents.items():
            if of == parent:
                found.append((child, started))
                wanted.append(child)
    return found


def still_running(processes):
    """Those of the processes that exist still, are the same ones, and are not mere zombies."""
    alive = []
    for pid, started in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[19] == started and fields[0] != "Z":
            alive.append(pid)
    return alive
