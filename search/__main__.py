"""`python -m search`."""

import sys

from search.watch.output import open_outputs
from search.workers.interrupt import ignore_requests, requests_raise

if __name__ == "__main__":
    requests_raise()  # before anything else is imported, which takes a while
    open_outputs()
    from search.commands.main import main

    status = main(sys.argv[1:])
    ignore_requests()
    sys.exit(status)
