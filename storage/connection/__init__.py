"""The connection to the database: engine, passwords, retries, lock."""
