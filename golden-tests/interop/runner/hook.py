"""The pre-commit trial: this repository's hook, run by the real pre-commit in a repository of its own.

The hook is `language: system`: it runs the `mcpc` that is installed. The trial puts the program under test on
the search path, and lets pre-commit fetch the hook's definition from a commit of this repository, as users do.
"""

import json
import os
import subprocess

from runner.gateway import REPOSITORY
from runner.install import git

HOOK = "mcpc-check"
RUN_SECONDS = 120
GOOD = 'version: 1\nservers:\n  time: { command: mcp-server-time, args: [--local-timezone, UTC] }\n'
BAD = 'version: 1\nservers:\n  time: { command: mcp-server-time, arks: [--local-timezone, UTC] }\n'


def trial(children, tools, program, folder):
    """Yields (step, ok, detail) lines."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()
    repo = make_repository(folder, revision)
    environment = environment_with(program, tools, folder)
    pre_commit = tools.script("pre-commit", "pre-commit")

    def run(*argv):
        status, out, err = children.run(argv, RUN_SECONDS, cwd=repo, env=environment)
        return status, out + err

    status, out = run(pre_commit, "run", "--all-files")
    yield "passes a good file", status == 0 and "Passed" in out, brief(status, out)
    status, out = run(pre_commit, "install")
    yield "installs itself", status == 0, brief(status, out)

    (repo / "mcpc.yaml").write_text(BAD)
    git_add(repo)
    status, out = run(pre_commit, "run")
    yield "refuses a bad file with its code and place", status == 1 and "MCPC" in out and "mcpc.yaml:3" in out, brief(status, out)
    before = head(repo)
    status, out = run("git", "commit", "--message", "A bad file")
    yield "stops the commit of a bad file", status not in (0, None) and head(repo) == before, brief(status, out)

    (repo / "mcpc.yaml").write_text(GOOD + "# A comment.\n")
    git_add(repo)
    status, out = run("git", "commit", "--message", "A good file")
    yield "lets the commit of a good file go", status == 0 and head(repo) != before, brief(status, out)


def make_repository(folder, revision):
    """A repository with a good configuration, and with this repository as a source of hooks."""
    repo = folder / "hooked"
    repo.mkdir()
    hooks = {"repos": [{"repo": str(REPOSITORY), "rev": revision, "hooks": [{"id": HOOK}]}]}
    (repo / ".pre-commit-config.yaml").write_text(json.dumps(hooks) + "\n")
    (repo / "mcpc.yaml").write_text(GOOD)
    git("init", "--quiet", cwd=repo)
    git("config", "user.name", "Play", cwd=repo)
    git("config", "user.email", "play@example.com", cwd=repo)
    git("config", "commit.gpgsign", "false", cwd=repo)
    git("add", ".", cwd=repo)
    git("commit", "--quiet", "-m", "A good file", cwd=repo)
    return repo


def environment_with(program, tools, folder):
    """The search path begins with the program under test; pre-commit keeps its own state in the working folder."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "mcpc").symlink_to(program.resolve())
    path = os.pathsep.join([str(programs), str(tools.root / "pre-commit" / "bin"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PRE_COMMIT_HOME": str(folder / "pre-commit-home"), "NO_COLOR": "1"}
    environment.pop("PYTHONPATH", None)
    return environment


def git_add(repo):
    """Stages what changed."""
    git("add", ".", cwd=repo)


def head(repo):
    """The current commit."""
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def brief(status, out):
    """The status and the words of the output that tell most."""
    words = " | ".join(line.strip() for line in out.splitlines() if line.strip())
    return f"status {status}: {words}"[:400]
