#!lua
-- Applies one batch: guards versions and writes, and knows no business.
--
-- KEYS  meta, accounts, sessions, log, writer
-- ARGV  number, at, floor, how long the writer is remembered (s), count and
--       bytes of the loose records, then for each change: account, previous
--       version, new version and state, count and bytes of its records, how
--       many sessions it opens and closes, and these
-- gives position, an outcome for each change ("1" applied, "0" conflict),
--       records that the log holds, whether acknowledged writes are missing
--
-- Everything that may fail stands before the first write: a script is not
-- rolled back.
local meta, accounts, sessions, log, writer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local number, at, floor, remembered = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]

local state = redis.call('HMGET', meta, 'position', 'records', 'trimmed')
local position, records, trimmed = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)

local last_number, last_position, last_outcomes = 0, nil, nil
local last = redis.call('GET', writer)
if last then
    last_number, last_position, last_outcomes = string.match(last, '^(%d+) (%d+) (%d*)$')
    last_number = tonumber(last_number)
end
if last_number == number then
    -- A write, for WAITAOF waits for the writes of its own connection alone.
    redis.call('EXPIRE', writer, remembered)
    return {tonumber(last_position), last_outcomes, records - trimmed, 0}
end
if last_number > number then
    return redis.error_reply('STALE batch ' .. ARGV[1] .. ' came after batch ' .. last_number)
end
local is_missing = position < floor or last_number < number - 1

local none = string.rep('\0', 8)
local outcomes, applied, bytes, count = {}, {}, {}, tonumber(ARGV[5])
local at_change = 7
while ARGV[at_change] do
    local stored = redis.call('HGET', accounts, ARGV[at_change])
    if (stored and string.sub(stored, 1, 8) or none) == ARGV[at_change + 1] then
        outcomes[#outcomes + 1] = '1'
        applied[#applied + 1] = at_change
        count = count + tonumber(ARGV[at_change + 3])
        bytes[#bytes + 1] = ARGV[at_change + 4]
    else
        outcomes[#outcomes + 1] = '0'
    end
    at_change = at_change + 7 + tonumber(ARGV[at_change + 5]) + tonumber(ARGV[at_change + 6])
end
bytes[#bytes + 1] = ARGV[6]
outcomes = table.concat(outcomes)

-- Positions never fall back behind what somebody was told.
position = math.max(position, floor) + 1
records = records + count
local position_text, records_text = string.format('%.0f', position), string.format('%.0f', records)
redis.call('XADD', log, position_text .. '-0', 'total', records_text, 'count', count, 'records', table.concat(bytes))
for _, i in ipairs(applied) do
    redis.call('HSET', accounts, ARGV[i], ARGV[i + 2])
    local first_closed = i + 7 + tonumber(ARGV[i + 5])
    for s = i + 7, first_closed - 1 do
        redis.call('HSET', sessions, ARGV[s], ARGV[i])
    end
    for s = first_closed, first_closed + tonumber(ARGV[i + 6]) - 1 do
        redis.call('HDEL', sessions, ARGV[s])
    end
end
redis.call('HSET', meta, 'position', position_text, 'records', records_text, 'at', at)
redis.call('SET', writer, ARGV[1] .. ' ' .. position_text .. ' ' .. outcomes, 'EX', remembered)
return {position, outcomes, records - trimmed, is_missing and 1 or 0}
