"""`python -m search`."""

import sys

from search.interrupt import ignore_requests, requests_raise
from search.output import open_outputs

if __name__ == "__main__":
    requests_raise()  # before anything else is imported, which takes a while
    open_outputs()
    from search.cli import main

    status = main(sys.argv[1:])
    ignore_requests()
    sys.exit(status)
