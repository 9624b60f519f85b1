"""
Load: arrivals on schedule through Locust, in a process of its own, and what became of each of them.

Nothing here is imported by the process that injects faults: `import locust` patches the whole process. The
supervisor starts `python -m chaoslib_ext.load.child SPEC.json` and talks to it in JSON lines.
"""
