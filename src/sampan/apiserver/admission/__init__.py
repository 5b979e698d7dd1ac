"""What is decided about a write after authorization: things added, things refused.

`PLUGINS` (table.py) is one ordered table; each plugin is one file. Mutating parts run before an
object is validated, the others after; quota comes last, because it counts what was let through.
"""
