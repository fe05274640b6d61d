"""What is drawn: widgets over the models and the supervisor."""
