"""What moves messages in Redis: scripts, each of which is done as a whole or not at all, whoever dies meanwhile.

Producers put messages in at the left of a list, workers take them at its right (kombu ``LPUSH`` and ``BRPOP``), so the
oldest message is at the right. Redis runs a script to its end while everybody waits, so each moves a bounded number of
messages. Where it must stop because of an error, it does so before anything was changed, or in between two messages:
a message is always put where it goes before it is taken from where it was, or by one command. They need Redis 5; to
take single messages out of lists that are longer than `redis_vault.DEEPEST`, 6.0.6 (``LPOS``).
"""

from typing import Final

#: Lists become other lists that are not there yet: ``KEYS`` are those, followed by these. How many messages they have,
#: or -1 where one of these is there.
LOCK_AWAY: Final = """
local half, moved = #KEYS / 2, 0
for i = 1, half do
    if redis.call('EXISTS', KEYS[half + i]) == 1 then return -1 end
    moved = moved + redis.call('LLEN', KEYS[i])
end
for i = 1, half do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAMENX', KEYS[i], KEYS[half + i]) end
end
return moved
"""
#: The list ``KEYS[1]`` comes in front of what waits in ``KEYS[2]``; the shorter of both is moved. Where that is more
#: than ``ARGV[1]`` messages, only so many are, those first that are taken last. How many came to their place.
PUT_BACK: Final = """
local held, waiting, most = redis.call('LLEN', KEYS[1]), redis.call('LLEN', KEYS[2]), tonumber(ARGV[1])
if held == 0 then return 0 end
if waiting <= most then
    for i = 1, waiting do redis.call('RPOPLPUSH', KEYS[2], KEYS[1]) end
    redis.call('RENAMENX', KEYS[1], KEYS[2])
    return held
end
local some = redis.call('LRANGE', KEYS[1], 0, most - 1)
redis.call('RPUSH', KEYS[2], unpack(some))
redis.call('LTRIM', KEYS[1], #some, -1)
return #some
"""
#: The ``ARGV[1]`` messages that are taken next go from the list ``KEYS[1]`` behind what is in ``KEYS[2]``.
SPLIT: Final = """
local some = math.min(tonumber(ARGV[1]), redis.call('LLEN', KEYS[1]))
for i = 1, some do redis.call('RPOPLPUSH', KEYS[1], KEYS[2]) end
return some
"""
#: The message ``ARGV[1]`` goes from the list ``KEYS[1]`` into ``KEYS[2]``, as ``ARGV[2]``, where that is said in front
#: of what is there (``ARGV[5]`` is RPUSH). It is searched from an end, the newest (``ARGV[3]`` is 1) or the oldest
#: (-1), for ``ARGV[4]`` messages at most. How many were moved, 1 or 0.
PICK: Final = """
local from, depth = KEYS[1], tonumber(ARGV[4])
if redis.call('LLEN', from) > depth then
    if not redis.call('LPOS', from, ARGV[1], 'RANK', ARGV[3], 'MAXLEN', depth) then return 0 end
end
local back = 'LPOP'
if ARGV[5] == 'RPUSH' then back = 'RPOP' end
redis.call(ARGV[5], KEYS[2], ARGV[2])
if redis.call('LREM', from, ARGV[3], ARGV[1]) == 1 then return 1 end
redis.call(back, KEYS[2])
return 0
"""
#: Messages go from the list ``KEYS[1]`` behind what is in ``KEYS[2]``: ``ARGV`` are those that were seen to be taken
#: next, each followed by what becomes of it. Those that were taken meanwhile are passed over. How many were moved.
TURN: Final = """
local moved = 0
for i = 1, #ARGV, 2 do
    if redis.call('LINDEX', KEYS[1], -1) == ARGV[i] then
        redis.call('LPUSH', KEYS[2], ARGV[i + 1])
        redis.call('RPOP', KEYS[1])
        moved = moved + 1
    end
end
return moved
"""
#: The lists ``KEYS`` are gone. How many messages they had.
DESTROY: Final = """
local gone = 0
for i = 1, #KEYS do gone = gone + redis.call('LLEN', KEYS[i]) end
redis.call('UNLINK', unpack(KEYS))
return gone
"""

SCRIPTS: Final = frozenset({LOCK_AWAY, PUT_BACK, SPLIT, PICK, TURN, DESTROY})
