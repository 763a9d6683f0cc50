"""`tui-forward mcp`: forwards as tools of an agent, by the Model Context Protocol."""
