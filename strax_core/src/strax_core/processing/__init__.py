"""What this folder is, and its face."""
