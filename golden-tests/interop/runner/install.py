"""Installs the pinned packages into the cache folder, once per state of the pins.

Owns: the layout of the cache. The generations of the Python SDK exclude each other, so each has its own
virtual environment. Nothing is fetched while the hash of the pins is the one the cache was built from.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "pins"
ENVIRONMENTS = ("mcp1", "mcp2", "pre-commit")
INSTALL_SECONDS = 900


class Tools:
    """Where the installed programs are."""

    def __init__(self, root):
        self.root = root
        self.servers = PINS.parent / "servers"
        self.clients = PINS.parent / "clients"
        self.modules = root / "node" / "node_modules"
        self.node_folder = root / "node"
        self.node = self.modules / "node" / "bin" / "node"
        self.inspector = self.modules / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"

    def python(self, environment):
        """The interpreter of one virtual environment."""
        return self.root / environment / "bin" / "python"

    def script(self, environment, name):
        """A program that a package put into a virtual environment."""
        return self.root / environment / "bin" / name

    def server(self, name):
        """The entry file of a reference server from npm."""
        return self.modules / "@modelcontextprotocol" / name / "dist" / "index.js"


def cache_folder():
    """`MCPC_INTEROP_CACHE`, or `golden-tests/.cache` in this repository."""
    default = PINS.parent.parent / ".cache"
    return Path(os.environ.get("MCPC_INTEROP_CACHE") or default).resolve()


def install(children, say):
    """Returns the installed tools, building the cache first if the pins have changed."""

    def fill(root):
        root.mkdir(parents=True)
        for environment in ENVIRONMENTS:
            say(f"  Python environment {environment}")
            install_python(children, root, environment)
        say("  npm packages")
        install_npm(children, root / "node", PINS / "package.json")

    return Tools(cached("interop", "packages", pins_hash(), say, fill))


def cached(kind, what, wanted, say, fill):
    """The part of the cache for one state of some pins, filled first if that is the first time it is asked for."""
    root = cache_folder() / f"{kind}-{wanted[:16]}"
    stamp = root / "complete"
    if stamp.is_file():
        say(f"{what}: cached ({wanted[:16]})")
        return root
    say(f"{what}: installing into a new cache ({wanted[:16]})")
    shutil.rmtree(root, ignore_errors=True)
    fill(root)
    stamp.write_text(wanted + "\n")
    return root


def pins_hash():
    """Changes with any pin, and with the interpreter that the virtual environments are built on."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(PINS.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def install_python(children, root, environment):
    """One virtual environment from one file of exact versions."""
    folder = root / environment
    check(children, [sys.executable, "-m", "venv", folder])
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    check(children, [*pip, "--no-deps", "-r", PINS / f"{environment}.txt"])


def install_npm(children, folder, package):
    """The npm packages of a manifest; some need a newer Node than many machines have, so Node is one of them."""
    folder.mkdir(parents=True)
    shutil.copy(package, folder)
    check(children, ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], cwd=folder)
    check(children, [folder / "node_modules" / "node" / "bin" / "node", "--version"])


def check(children, argv, **options):
    """Runs an installation step; its output is shown only if it fails."""
    status, out, err = children.run(argv, INSTALL_SECONDS, **options)
    if status != 0:
        words = " ".join(str(word) for word in argv)
        raise SystemExit(f"`{words}` failed with status {status}\n{out}{err}")


def git(*words, cwd):
    """Runs git with no configuration but the repository's own."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Play", "-c", "user.email=play@example.com"]
    subprocess.run(["git", *identity, *words], cwd=cwd, env=environment, check=True, capture_output=True, timeout=60)
