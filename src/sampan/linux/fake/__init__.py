"""The contracts of linux.base in memory, stateful; shipped, so that everything above runs
without root.
"""
