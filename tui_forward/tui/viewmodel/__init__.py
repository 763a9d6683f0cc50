"""Pure functions and types from the model to rows. No Textual, no clock, no session."""
