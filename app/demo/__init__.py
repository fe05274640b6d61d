"""An embedded broker and a small fleet of real Celery apps, so that Cloche is useful with nothing installed."""
