"""`python -m search`."""

import os
import sys

# Python looks for modules in the current folder first: a space.py or random.py there would be taken for the
# program's or Python's own. What lies there comes last, unless the program itself lies there.
_FOLDER = __file__.removesuffix(f"{os.sep}search{os.sep}__main__.py")
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != _FOLDER:
    sys.path.append(sys.path.pop(0))

from search.watch.output import open_outputs  # noqa: E402
from search.workers.interrupt import ignore_requests, requests_raise  # noqa: E402

if __name__ == "__main__":
    requests_raise()  # before anything else is imported, which takes a while
    open_outputs()
    from search.commands.main import main

    status = main(sys.argv[1:])
    ignore_requests()
    sys.exit(status)
