"""Reports of a search: fronts, tables, figures.

Everything here works from the records of `storage` alone, without torch, wfdb or the data set, so that
a report can be rebuilt wherever the database is. Import the module you need: `scores.front` (the Pareto
front and the staircase), `reports.status`, `reports.terminal`, `reports.report`. Only the last one loads
matplotlib.
"""

from reports.errors import ReportError

__all__ = ["ReportError"]
