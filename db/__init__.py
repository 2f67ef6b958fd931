"""The database: one SQLite file, which only db.connection opens."""
