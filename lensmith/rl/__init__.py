"""Play: worlds, and networks that learn to act in them."""
