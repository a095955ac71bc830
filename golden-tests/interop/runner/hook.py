"""The pre-commit trial: the repository's hook, run by the real pre-commit on a good and on a bad file."""


def trial(_children, _tools, _program, _folder):
    """Yields (step, ok, detail) lines."""
    yield "hook", None, "not written yet"
