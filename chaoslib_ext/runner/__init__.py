"""The supervisor of a run and the child that runs the method."""
