"""The prober: sees from outside whether a fault is real, and when it is gone. `python -m chaoslib_ext.prober` is the process."""
