"""Loads what workers, beat and producers need before they are forked: done once, not in every process of the fleet."""

# ruff: noqa: F401
import billiard.heap
import billiard.popen_fork
import billiard.sharedctypes
import billiard.synchronize
import celery.app.builtins
import celery.app.control
import celery.app.events
import celery.app.log
import celery.apps.worker
import celery.backends.redis
import celery.beat
import celery.canvas
import celery.concurrency.prefork
import celery.concurrency.solo
import celery.concurrency.thread
import celery.events.dispatcher
import celery.events.snapshot
import celery.fixups.django
import celery.loaders.app
import celery.worker.autoscale
import celery.worker.components
import celery.worker.consumer
import celery.worker.consumer.delayed_delivery
import celery.worker.strategy
import kombu.transport.redis
