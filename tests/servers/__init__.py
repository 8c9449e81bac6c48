"""The servers of a shared warehouse, for tests: PostgreSQL, S3, and proxies that make them fail."""
