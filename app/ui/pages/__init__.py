"""The pages of the window, each a view over the history."""
