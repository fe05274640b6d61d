# Each command installs what it needs and is complete by itself: see tools/dev.py, which also runs without make.
# More words for a command: make test ARGS="-k search"

PYTHON ?= python3

.PHONY: help demo test check format bench bench-flower fuzz package lock
help demo test check format bench bench-flower fuzz package lock:
	@$(PYTHON) tools/dev.py $@ $(ARGS)
