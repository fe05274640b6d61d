"""What a developer runs: set-up, tests, checks, packaging. Nothing here is part of the program."""
