"""Many workers and large studies."""
