"""Backups of the database: made, listed, restored, and the check of a whole Slotlab folder."""
