"""Environment variables that PyTorch reads once, when it is loaded."""

import os

from search.cores import available_cores, cores_of_the_kernel


def set_environment() -> None:
    """Set what training needs, unless the user has; call before anything imports torch."""
    # Threads that spin while they wait for each other take the core the other one needs: with another program
    # running beside it a fold on two cores was ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Libraries count the cores of the machine, not those of a quota.
    if available_cores() < cores_of_the_kernel():
        os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
    # Large pages: PyTorch allocates the memory of every large tensor anew, and the kernel would map it in
    # pages of four kilobytes.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
