"""What scripts/check_deployment is made of: Dockerfiles read, and their steps run without Docker."""
