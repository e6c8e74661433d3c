#!lua flags=allow-oom
-- Removes drained entries, also where memory has run out: it frees some.
--
-- KEYS  meta, log
-- ARGV  the position that is drained, the one after it
-- gives records and entries that the log still holds
local meta, log = KEYS[1], KEYS[2]
local newest = redis.call('XREVRANGE', log, ARGV[1], '-', 'COUNT', 1)[1]
if newest then
    -- The first field is the total of records up to this entry.
    redis.call('HSET', meta, 'trimmed', newest[2][2])
    redis.call('XTRIM', log, 'MINID', ARGV[2])
end
local state = redis.call('HMGET', meta, 'records', 'trimmed')
return {tonumber(state[1] or 0) - tonumber(state[2] or 0), redis.call('XLEN', log)}
