"""The five Celery systems of the demo."""

from app.demo.systems import edr, leadlawk, lessons, redline, tutorial

SYSTEMS = (leadlawk.SYSTEM, edr.SYSTEM, tutorial.SYSTEM, lessons.SYSTEM, redline.SYSTEM)
