"""Where desired state comes from: a tree of YAML, read whole, refused whole, with file, line and column.

Here lives reading, its errors, the JSON Schema, the revision's name, and noticing that a tree has changed.
Not here: what a document means (`model`), and which revision is in force (`reconciler`).
"""
