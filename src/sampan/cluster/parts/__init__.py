"""One file per component that can run alone: flags to a wired component."""
