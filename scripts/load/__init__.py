"""What scripts/serving_load.py consists of: a server's process, a client, and what is done to the one by the other."""
