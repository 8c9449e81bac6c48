"""Policies: each looks at an observation and says what it would do."""
