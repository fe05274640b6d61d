"""What is known: records and rules, without Qt, brokers or sockets."""
