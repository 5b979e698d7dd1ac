"""One file per plugin with its man page; the order is the PLUGINS table."""
