"""What is done to a broker when a person asks for it: planned, confirmed, written down, and only then done."""
