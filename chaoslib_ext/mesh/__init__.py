"""A mesh of Envoys whose routes lie in files: faults in the traffic of a route; `client` is the only door to an Envoy."""
