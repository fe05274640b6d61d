"""The history on disk: one SQLite file per connection, one writer, any number of readers."""
