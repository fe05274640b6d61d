"""What touches a broker; runs in a process of its own, without Qt."""
