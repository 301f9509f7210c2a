"""Which folds of a trial train at the same time."""


def rounds(n_folds: int, n_parallel: int) -> tuple[range, ...]:
    """Folds by their numbers, round after round, as many in each as train at the same time.

    A few that are left over would leave half of the cores idle or more. They join the last round, whose folds
    take turns, epoch by epoch: of five folds, two at a time, 1 and 2 train first, then 3, 4 and 5.
    """
    firsts = list(range(1, n_folds + 1, n_parallel))
    n_left = n_folds % n_parallel
    if len(firsts) > 1 and 0 < n_left <= n_parallel / 2:
        firsts.pop()
    return tuple(map(range, firsts, [*firsts[1:], n_folds + 1]))
