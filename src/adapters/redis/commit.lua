#!lua
-- Applies one batch, or the part of it that one log takes: guards versions and
-- writes, and knows no business.
--
-- KEYS  meta, accounts, sessions, identifiers, log, writer
-- ARGV  number, the writer's newest number that was confirmed here, at (ms),
--       floor, how long the writer is remembered (s), count and bytes of the
--       loose records, then for each change: account, previous version, new
--       version and state (empty: nothing changes, the version is compared
--       alone), count and bytes of its records, how many sessions it opens and
--       closes, how many identifiers it takes and gives back, and these
-- gives position, an outcome for each change ("1" applied, "0" conflict),
--       records and entries that the log holds, whether acknowledged writes
--       are missing
--
-- Everything that may fail stands before the first write: a script is not
-- rolled back.
local meta, accounts, sessions, identifiers, log, writer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local number, confirmed, at, floor = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local remembered = ARGV[5]

local state = redis.call('HMGET', meta, 'position', 'records', 'trimmed')
local position, records, trimmed = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)

local last_number, last_position, last_outcomes = 0, nil, nil
local last = redis.call('GET', writer)
if last then
    last_number, last_position, last_outcomes = string.match(last, '^(%d+) (%d+) (%d*)$')
    last_number = tonumber(last_number)
end
if last_number == number then
    -- A write, for WAITAOF and WAIT wait for the writes of their own connection alone.
    redis.call('EXPIRE', writer, remembered)
    return {tonumber(last_position), last_outcomes, records - trimmed, redis.call('XLEN', log), 0}
end
if last_number > number then
    return redis.error_reply('STALE batch ' .. ARGV[1] .. ' came after batch ' .. last_number)
end
local is_missing = position < floor or last_number < confirmed

local none = string.rep('\0', 8)
local outcomes, applied, bytes, count = {}, {}, {}, tonumber(ARGV[6])
local at_change = 8
while ARGV[at_change] do
    local stored = redis.call('HGET', accounts, ARGV[at_change])
    if (stored and string.sub(stored, 1, 8) or none) == ARGV[at_change + 1] then
        outcomes[#outcomes + 1] = '1'
        count = count + tonumber(ARGV[at_change + 3])
        bytes[#bytes + 1] = ARGV[at_change + 4]
        if ARGV[at_change + 2] ~= '' then
            applied[#applied + 1] = at_change
        end
    else
        outcomes[#outcomes + 1] = '0'
    end
    at_change = at_change + 9
    for i = at_change - 4, at_change - 1 do
        at_change = at_change + tonumber(ARGV[i])
    end
end
bytes[#bytes + 1] = ARGV[7]
outcomes = table.concat(outcomes)

-- Positions never fall back behind what somebody was told. They follow the time, too: a
-- server that has lost its newest entries would give their positions to others, and a
-- drain that has passed those would never look at them.
position = math.max(position + 1, floor + 1, tonumber(at) * 1000)
records = records + count
local position_text, records_text = string.format('%.0f', position), string.format('%.0f', records)
redis.call('XADD', log, position_text .. '-0', 'total', records_text, 'count', count, 'records', table.concat(bytes))
for _, i in ipairs(applied) do
    redis.call('HSET', accounts, ARGV[i], ARGV[i + 2])
    local from = i + 9
    for s = from, from + tonumber(ARGV[i + 5]) - 1 do
        redis.call('HSET', sessions, ARGV[s], ARGV[i])
    end
    from = from + tonumber(ARGV[i + 5])
    for s = from, from + tonumber(ARGV[i + 6]) - 1 do
        redis.call('HDEL', sessions, ARGV[s])
    end
    from = from + tonumber(ARGV[i + 6])
    for n = from, from + tonumber(ARGV[i + 7]) - 1 do
        redis.call('HSET', identifiers, ARGV[n], ARGV[i])
    end
    from = from + tonumber(ARGV[i + 7])
    for n = from, from + tonumber(ARGV[i + 8]) - 1 do
        -- Another account may have it by now.
        if redis.call('HGET', identifiers, ARGV[n]) == ARGV[i] then
            redis.call('HDEL', identifiers, ARGV[n])
        end
    end
end
redis.call('HSET', meta, 'format', 2, 'position', position_text, 'records', records_text, 'at', at)
redis.call('SET', writer, ARGV[1] .. ' ' .. position_text .. ' ' .. outcomes, 'EX', remembered)
return {position, outcomes, records - trimmed, redis.call('XLEN', log), is_missing and 1 or 0}
