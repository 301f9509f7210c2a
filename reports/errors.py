"""Errors of reports: one line with the value and the next step."""


class ReportError(Exception):
    """The report cannot be written; the message says all. Exit status 1."""

    exit_status = 1
