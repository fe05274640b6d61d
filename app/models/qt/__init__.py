"""Item models and plot series over the reader; QtCore only."""
