"""Key bindings, key names, the keymap and the command palette."""
