"""Protocols of the kernel, one file per interface; implemented in real/ and fake/."""
