"""Forward and backward passes, and the files they leave."""
