"""Real servers for the tests: PostgreSQL and S3, started once a test run and on loopback alone."""
