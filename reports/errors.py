"""Errors of reports: one line with the value and the next step."""


class ReportError(Exception):
    """The report cannot be written; the message names the cause. Exit status 1."""

    exit_status = 1
