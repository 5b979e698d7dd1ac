"""Every kernel interface: protocols in base.py, real/ for syscalls, fake/ in memory, walk/ for
packets.
"""
