"""Paths of files inside fields: relative, and never up."""

from __future__ import annotations

from sampan.resources.rules import Errors, invalid


def descending_path(path: str, value: str) -> Errors:
    errors: Errors = []
    if value.startswith("/"):
        errors += invalid(path, value, "must be a relative path")
    return errors + no_backsteps(path, value)


def no_backsteps(path: str, value: str) -> Errors:
    if ".." in value.split("/"):
        return invalid(path, value, "must not contain '..'")
    return []


def local_path(path: str, value: str) -> Errors:
    """Inside a volume, and not one of the names that its atomic writer uses itself."""
    errors = descending_path(path, value)
    if value.startswith("..") and not value.startswith("../"):
        errors += invalid(path, value, "must not start with '..'")
    return errors
