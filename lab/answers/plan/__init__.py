"""`lab plan`: a host in a file -> how large its pool must be, when it is full, and what each lever changes."""
