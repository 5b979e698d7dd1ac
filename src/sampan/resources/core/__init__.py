"""The kinds of the core group, v1: one file (or folder) for each."""
