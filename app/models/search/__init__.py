r"""The search language. This text is its manual.

Words
    ``customer``             tasks in whose id, name, state, worker, arguments, result or exception it occurs
    ``customer timeout``     both words; ``customer AND timeout`` is the same
    ``timeout OR refused``   either; AND binds closer than OR
    ``NOT timeout``          tasks that ``timeout`` does not find; ``-timeout`` is the same
    ``(a OR b) c``           parentheses group
    ``"hello world"``        a phrase; in quotes everything stands for itself, but ``\"`` is ``"`` and ``\\`` is ``\``
    ``time*out``             ``*`` stands for any text

    Upper and lower case never matter, except that AND, OR and NOT are capitals. A word may be a single letter.

Fields: ``field:value``
    ``name:fetch``           ``name``, ``worker``, ``queue``, ``uuid``, ``root`` and ``parent`` contain the value
    ``name:tasks.*``         with a ``*`` the value has to fit the whole; a complete UUID has to be equal
    ``queue:mail,sms``       a list finds any of its values (in these fields, ``state``, ``is`` and ``has``)
    ``args:"hello world"``   ``args``, ``kwargs``, ``result``, ``exception`` and ``traceback`` contain it anywhere
    ``kwargs:priority=high`` a keyword argument has exactly this value (at any depth; ``*`` is allowed)
    ``state:failed,retry``   exactly these states, in Celery's words (``FAILURE``) or the window's (``Failed``)
    ``has:traceback``        this is known; any field but ``state``, ``retries``, ``seen`` and ``uuid``: they always are
    ``is:running``           started and not finished, as far as is known, maybe in a state of its own
    ``is:waiting``           has yet to run: pending, received or to be retried
    ``is:finished``          succeeded, failed, revoked or rejected
    ``is:failed``            failed
    ``is:slow``              ran for more than ten seconds, or has been running for so long
    ``is:lost``              its worker was lost, or left, while it had the task
    ``is:unknown``           we did not listen when it ended, or its worker told no end
    ``is:doubted``           either of these two
    ``is:retried``           it was retried at least once
    ``is:redelivered``       the broker delivered it again

Figures: ``retries`` is a number, ``wait`` and ``runtime`` are durations
    ``retries:3``  ``retries:>=3``  ``runtime:>5s``  ``wait:1m..5m``  ``runtime:..500ms``  ``runtime:>1h30m``

    Units are ``us`` ``ms`` ``s`` ``m`` ``h`` ``d`` ``w``; a duration without one is in seconds.
    A range includes both ends, and one of them may be left out.

Times: ``seen``, ``sent``, ``received``, ``started``, ``finished`` and ``eta``
    ``received:>-15m``       within the last 15 minutes
    ``eta:<+1h``             due within the hour, or overdue
    ``finished:2026-11-20``  on that day; ``>`` is then after it, ``>=`` from its beginning
    ``finished:2026-11-20T23:00..2026-11-21``  from 23:00 until the end of the next day
    ``started:23:00..01:30`` a time alone is its last occurrence; also ``now``, ``today`` and ``yesterday``

    Times are in your timezone unless they end in ``Z`` or ``+01:00``. Seconds (``23:00:05.250``) are optional.

A comparison never finds a task in which the figure is unknown, so its negation does.
A word with a colon whose field does not exist (``customer:7``) is text, unless it looks like a slip of the keyboard.
"""

from app.models.search.completion import complete, word_start
from app.models.search.errors import SearchError
from app.models.search.query import Search, parse
from app.models.search.words import quote

__all__ = ["Search", "SearchError", "complete", "parse", "quote", "word_start"]
