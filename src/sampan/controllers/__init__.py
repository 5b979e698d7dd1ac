"""One file per controller and one literal CONTROLLERS table."""
