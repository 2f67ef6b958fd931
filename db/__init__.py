"""The data set: one SQLite file, opened in one place."""
