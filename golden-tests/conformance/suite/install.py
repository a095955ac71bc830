"""Installs the suite into the cache folder that the interop run uses, once per state of the pins."""

import hashlib
from pathlib import Path

from runner.install import cached, install_npm

PINS = Path(__file__).resolve().parent.parent / "pins"


class Suite:
    """Where the suite is."""

    def __init__(self, root):
        self.modules = root / "node_modules"
        self.node = self.modules / "node" / "bin" / "node"
        self.entry = self.modules / "@modelcontextprotocol/conformance/dist/index.js"

    def command(self, *words):
        """A command line of the suite."""
        return [self.node, self.entry, *words]


def install(children, say):
    """Returns the installed suite, building the cache first if the pins have changed."""
    pins = PINS / "package.json"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    return Suite(cached("conformance", "suite", wanted, say, lambda root: install_npm(children, root, pins)))
