"""Readers, one file a set: each returns what the published files hold, or says which file is missing or damaged."""
