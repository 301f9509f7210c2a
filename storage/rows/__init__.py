"""The project's own tables and the queries on them."""
