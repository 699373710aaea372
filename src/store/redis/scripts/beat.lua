-- KEYS: layouts. ARGV: prefix, tag, layout, ms for which this beat announces the layout (0: not at all),
-- '1' if what is stored is known to be void, an id for a data set that has none.
-- Returns Redis's time (s, µs), its run id, the data set's id, the counters b0 b1 b2 n0 n1 n2 l, which
-- other layouts are in use, and which were.
local layouts, alive, own = KEYS[1], ARGV[2] .. ':alive', ARGV[3]
tidy(100)
if ARGV[4] ~= '0' then
  -- Written only when new: a change tells every other connection at once, by client tracking.
  local is_new = redis.call('SADD', layouts, own) == 1
  -- Data whose layout is not in the set: the set was lost, or another layout has taken this one out.
  local is_void = is_new and redis.call('HEXISTS', control, 'id') == 1
  if is_void or ARGV[5] == '1' then
    redis.call('SADD', layouts, '0')
  end
  redis.call('HSET', alive, own, now_ms() + ARGV[4])
end
redis.call('HSETNX', control, 'id', ARGV[6])

local in_use, left = {}, {}
for _, layout in ipairs(redis.call('SMEMBERS', layouts)) do
  if layout ~= own then
    local until_ms = tonumber(redis.call('HGET', alive, layout) or 0)
    table.insert(until_ms > now_ms() and in_use or left, layout)
  end
end

local time = redis.call('TIME')
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local counters = redis.call('HMGET', control, 'id', 'b0', 'b1', 'b2', 'n0', 'n1', 'n2', 'l')
local reply = { tonumber(time[1]), tonumber(time[2]), run, counters[1] }
for i = 2, 8 do
  reply[i + 3] = tonumber(counters[i] or 0)
end
reply[12], reply[13] = in_use, left
return reply
