"""Kubernetes: one door to the API (`client`, `calls`, `objects`, `watching`) and what a plan needs to know of a cluster (`snapshot`, `owners`, `spread`)."""
