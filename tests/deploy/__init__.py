"""What is shipped to run the worker with: it loads, it fits together, and it asks what is there."""
