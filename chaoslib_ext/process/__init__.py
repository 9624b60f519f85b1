"""Local processes as a platform: exact incarnations of replicas, their keeper and the links between zones."""
