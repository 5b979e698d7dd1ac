"""The only place for syscalls, ctypes and subprocess."""
