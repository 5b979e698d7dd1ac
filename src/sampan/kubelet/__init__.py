"""Runs the pods of one node; decides in pure functions, acts through the runtime contract."""
