-- KEYS: control. ARGV: prefix, an id for a data set that has none.
-- Returns Redis's time (s, µs), its run id, the data set's id, and the counters b0 b1 b2 n0 n1 n2 l.
tidy(100)
redis.call('HSETNX', control, 'id', ARGV[2])
local time = redis.call('TIME')
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local counters = redis.call('HMGET', control, 'id', 'b0', 'b1', 'b2', 'n0', 'n1', 'n2', 'l')
local reply = { tonumber(time[1]), tonumber(time[2]), run, counters[1] }
for i = 2, 8 do
  reply[i + 3] = tonumber(counters[i] or 0)
end
return reply
