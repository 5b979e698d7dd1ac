"""The words: one file per kind and one literal CATALOG."""
