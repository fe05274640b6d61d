"""What workers were seen to send of one task (PROTOCOL 1.1), and what has to be known of it afterwards."""

from typing import Final

from tests.helpers.events import stream

#: By what happens: the events, and the task as `drawing.drawn` shows it.
SEEN: Final = {
    "success": (
        """
        0.0 sent
        0.1 received
        1.0 started
        3.5 succeeded result=4 runtime=2.4
        """,
        """
SUCCESS: wait 1, runtime 2.4, result 4
  #0 sent 0, received 0.1, started 1, finished 3.5, on w1
""",
    ),
    "received before the producer tells that it sent": (
        """
        0.2 received
        0.1 sent
        0.5 started
        0.6 succeeded result=4 runtime=0.1
        """,
        """
SUCCESS: wait 0.4, runtime 0.1, result 4
  #0 sent 0.1, received 0.2, started 0.5, finished 0.6, on w1
""",
    ),
    "no task-sent: the wait is that in the worker": (
        """
        1.0 received
        4.0 started
        4.0 succeeded runtime=0
        """,
        """
SUCCESS: wait 3
  #0 received 1, started 4, finished 4, on w1
""",
    ),
    "failure": (
        """
        0.1 received
        1.0 started
        1.5 failed exception=KeyError('foo') traceback=Traceback
        """,
        """
FAILURE: wait 0.9, runtime 0.5, exception KeyError('foo')
  #0 received 0.1, started 1, finished 1.5, on w1
""",
    ),
    "retry: the next attempt is received before the last one is over": (
        """
        0.0 sent
        0.1 received
        1.0 started
        1.1 sent retries=1 parent_id=t1
        1.2 received retries=1 parent_id=t1
        1.3 retried exception=OSError()
        5.0 started
        6.0 succeeded result=4 runtime=1.0
        """,
        """
SUCCESS: wait 3.9, runtime 1, result 4
  #0 sent 0, received 0.1, started 1, finished 1.3, on w1, RETRY, OSError()
  #1 sent 1.1, received 1.2, started 5, finished 6, on w1
""",
    ),
    "retry with a countdown, which is not waiting": (
        """
        0.0 sent
        0.1 received
        1.0 started
        1.1 sent retries=1 eta=+61
        1.2 received retries=1 eta=+61
        1.3 retried exception=OSError()
        61.5 started
        62.0 succeeded runtime=0.5
        """,
        """
SUCCESS: wait 0.5, runtime 0.5
  #0 sent 0, received 0.1, started 1, finished 1.3, on w1, RETRY, OSError()
  #1 sent 1.1, received 1.2, started 61.5, finished 62, eta 61, on w1
""",
    ),
    "retry of a short task: sent again before its start is told": (
        """
        0.000 sent
        0.100 received
        0.110 sent retries=1
        0.112 started
        0.120 retried exception=OSError()
        0.200 received retries=1
        0.210 started
        0.220 succeeded runtime=0.01
        """,
        """
SUCCESS: wait 0.1, runtime 0.01
  #0 sent 0, received 0.1, started 0.112, finished 0.12, on w1, RETRY, OSError()
  #1 sent 0.11, received 0.2, started 0.21, finished 0.22, on w1
""",
    ),
    "retry of a short task: its start is told first, and dated after the sending": (
        """
        0.000 sent
        0.100 received
        0.112 started
        0.110 sent retries=1
        0.120 retried exception=OSError()
        0.200 received retries=1
        0.210 started
        0.220 succeeded runtime=0.01
        """,
        """
SUCCESS: wait 0.1, runtime 0.01
  #0 sent 0, received 0.1, started 0.112, finished 0.12, on w1, RETRY, OSError()
  #1 sent 0.11, received 0.2, started 0.21, finished 0.22, on w1
""",
    ),
    "retry that another worker runs before the first one tells of its own": (
        """
        0.000 sent
        0.100 received @w1
        0.110 sent retries=1
        0.111 received @w2 retries=1
        0.113 started @w2
        0.112 started @w1
        0.115 retried @w1 exception=OSError()
        0.220 succeeded @w2 runtime=0.1
        """,
        """
SUCCESS: wait 0.003, runtime 0.1
  #0 sent 0, received 0.1, started 0.112, finished 0.115, on w1, RETRY, OSError()
  #1 sent 0.11, received 0.111, started 0.113, finished 0.22, on w2
""",
    ),
    "retry that another worker received a moment before the first one's start": (
        """
        0.000 sent
        0.100 received @w1
        0.112 started @w1
        0.111 received @w2 retries=1
        0.110 sent retries=1
        0.115 retried @w1 exception=OSError()
        0.213 started @w2
        0.220 succeeded @w2 runtime=0.1
        """,
        """
SUCCESS: wait 0.103, runtime 0.1
  #0 sent 0, received 0.1, started 0.112, finished 0.115, on w1, RETRY, OSError()
  #1 sent 0.11, received 0.111, started 0.213, finished 0.22, on w2
""",
    ),
    "retry into another queue": (
        """
        0.0 sent queue=fast
        0.1 received
        0.2 started
        0.3 sent retries=1 queue=slow
        0.4 retried exception=OSError()
        """,
        """
PENDING
  #0 sent 0, received 0.1, started 0.2, finished 0.4, on w1, RETRY, OSError()
  #1 sent 0.3
""",
    ),
    "retries run out": (
        """
        0.1 received
        1.0 started
        1.2 received retries=1
        1.3 retried exception=OSError(1)
        2.0 started
        2.5 failed exception=OSError(2)
        """,
        """
FAILURE: wait 0.8, runtime 0.5, exception OSError(2)
  #0 received 0.1, started 1, finished 1.3, on w1, RETRY, OSError(1)
  #1 received 1.2, started 2, finished 2.5, on w1
""",
    ),
    "retry, all of the next attempt unseen but its start": (
        """
        0.1 received
        1.0 started
        1.3 retried exception=OSError()
        2.0 started
        """,
        """
STARTED
  #0 received 0.1, started 1, finished 1.3, on w1, RETRY, OSError()
  #1 started 2, on w1
""",
    ),
    "waiting for its retry": (
        """
        0.1 received
        1.0 started
        1.3 retried exception=OSError()
        """,
        """
RETRY: wait 0.9, exception OSError()
  #0 received 0.1, started 1, finished 1.3, on w1
""",
    ),
    "rejected and requeued": (
        """
        0.0 sent
        0.1 received
        0.2 started
        0.3 rejected requeue=true
        0.4 received @w2
        0.5 started @w2
        0.6 succeeded @w2 runtime=0.1
        """,
        """
SUCCESS: wait 0.1, runtime 0.1, redelivered 1
  #0 sent 0, received 0.1, started 0.2, finished 0.3, on w1, REJECTED
  #0 received 0.4, started 0.5, finished 0.6, on w2
""",
    ),
    "rejected and requeued, and then it fails: the note on the rejection is over": (
        """
        0.1 received
        0.2 started
        0.3 rejected requeue=true
        0.4 received
        0.5 started
        0.6 failed exception=OSError()
        """,
        """
FAILURE: wait 0.1, runtime 0.1, exception OSError(), redelivered 1
  #0 received 0.1, started 0.2, finished 0.3, on w1, REJECTED
  #0 received 0.4, started 0.5, finished 0.6, on w1
""",
    ),
    "rejected for good, as Celery tells it before 5.7": (
        """
        0.1 received
        0.2 started
        0.3 rejected requeue=false
        """,
        """
REJECTED: wait 0.1, note rejected
  #0 received 0.1, started 0.2, finished 0.3, on w1
""",
    ),
    "rejected for good, as Celery 5.7 tells it": (
        """
        0.1 received
        0.2 started
        0.3 failed exception=Reject()
        0.3001 rejected requeue=false
        """,
        """
FAILURE: wait 0.1, runtime 0.1, exception Reject()
  #0 received 0.1, started 0.2, finished 0.3, on w1
""",
    ),
    "expired": (
        """
        0.0 sent expires=+60
        90 received expires=+60
        90 revoked terminated=false signum=null expired=true
        """,
        """
REVOKED: note expired before it started
  #0 sent 0, received 90, finished 90, on w1
""",
    ),
    "revoked while it was queued": (
        """
        0.0 sent
        0.1 received
        0.2 revoked terminated=false signum=null expired=false
        """,
        """
REVOKED: note revoked before it started
  #0 sent 0, received 0.1, finished 0.2, on w1
""",
    ),
    "terminated": (
        """
        0.1 received
        0.2 started
        9.0 revoked terminated=true signum=9 expired=false
        """,
        """
REVOKED: wait 0.1, note terminated by signal 9
  #0 received 0.1, started 0.2, finished 9, on w1
""",
    ),
    "terminated, the signal by name": (
        """
        0.2 started
        9.0 revoked terminated=true signum=SIGTERM expired=false
        """,
        """
REVOKED: note terminated by SIGTERM
  #0 started 0.2, finished 9, on w1
""",
    ),
    "hard time limit: told twice, by the worker and by its pool": (
        """
        0.1 received
        0.2 started
        1.2 failed exception=TimeLimitExceeded(1,) traceback=Traceback
        1.3 failed exception=TimeLimitExceeded(1,) traceback=Traceback
        """,
        """
FAILURE: wait 0.1, runtime 1, exception TimeLimitExceeded(1,)
  #0 received 0.1, started 0.2, finished 1.2, on w1
""",
    ),
    "ignored: nothing ever after its start": (
        """
        0.1 received
        0.2 started
        """,
        """
STARTED: wait 0.1
  #0 received 0.1, started 0.2, on w1
""",
    ),
    "redelivered to another worker after the first one died": (
        """
        0.0 sent
        0.1 received @w1
        0.2 started @w1
        3600 received @w2
        3601 started @w2
        3602 succeeded @w2 runtime=1.0
        """,
        """
SUCCESS: wait 1, runtime 1, redelivered 1
  #0 sent 0, received 0.1, started 0.2, on w1
  #0 received 3600, started 3601, finished 3602, on w2
""",
    ),
    "redelivered, the second reception unseen": (
        """
        0.1 received @w1
        0.2 started @w1
        9.0 started @w2
        """,
        """
STARTED: redelivered 1
  #0 received 0.1, started 0.2, on w1
  #0 started 9, on w2
""",
    ),
    "cancelled on connection loss, and redelivered": (
        """
        0.1 received
        0.2 started
        0.3 cancelled
        0.9 received
        """,
        """
RECEIVED: redelivered 1
  #0 received 0.1, started 0.2, finished 0.3, on w1, CANCELLED
  #0 received 0.9, on w1
""",
    ),
    "unknown to the worker": (
        """
        0.0 sent
        0.1 failed exception=NotRegistered('add')
        """,
        """
FAILURE: exception NotRegistered('add')
  #0 sent 0, finished 0.1, on w1
""",
    ),
    "due later, which is not waiting": (
        """
        0.0 sent eta=+60
        0.1 received eta=+60
        60.5 started
        """,
        """
STARTED: wait 0.5
  #0 sent 0, received 0.1, started 60.5, eta 60, on w1
""",
    ),
    "due in the past when it was sent": (
        """
        10 sent eta=+4
        12 started
        """,
        """
STARTED: wait 2
  #0 sent 10, started 12, eta 4, on w1
""",
    ),
    "only its end was seen": (
        """
        7.0 succeeded result=4 runtime=2.0
        """,
        """
SUCCESS: runtime 2, result 4
  #0 finished 7, on w1
""",
    ),
    "the clock of the worker is behind that of the producer": (
        """
        10 sent
        8 received
        9 started
        """,
        """
STARTED
  #0 sent 10, received 8, started 9, on w1
""",
    ),
}

STREAMS: Final = {name: stream(text) for name, (text, _) in SEEN.items()}
