"""Images from files: archives read and checked, layers unpacked, an index of what is there."""
