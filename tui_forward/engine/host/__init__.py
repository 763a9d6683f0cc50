"""What the engine needs of the operating system: sleep and network events, processes, heap."""
