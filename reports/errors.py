"""What can go wrong while telling: one line, the value, the next step."""


class ReportError(Exception):
    """The report cannot be written; the message is the whole story. Exit status 1."""

    exit_status = 1
