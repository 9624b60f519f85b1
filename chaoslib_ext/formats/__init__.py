"""The file edge: YAML with line marks, models that tell all problems at once, checks, JSON Schemas. Imported when a file is read."""
