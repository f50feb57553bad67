"""The errors that a user can mend: one sentence each, with file, finding, expectation and remedy."""


class UserError(Exception):
    """Something that the user gave is not usable; `str(error)` is one sentence for the terminal.

    Scripts print it without a traceback and exit with status 2.
    """


class BadInput(UserError):
    """A file's content is not what was expected (wrong width, NaN, hostile pickle, empty …)."""


class BadConfig(UserError):
    """A setting names something that does not exist or does not fit (unknown genre, missing checkpoint …)."""
