"""Backups of the database, the check of a whole Slotlab folder, and deletions."""
