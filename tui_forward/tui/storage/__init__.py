"""Small files that the dashboard keeps: favorites and view state."""
