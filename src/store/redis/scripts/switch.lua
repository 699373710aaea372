-- KEYS: switches. ARGV: prefix, generation, the most fields, then of each switch its field, the time in ms at which it
-- was thrown, '1' if it is thrown now, the rest of it. Returns all fields and values.
-- The latest of a field stays, by Redis's time: what is thrown now is later than what is there, and no clock that is
-- ahead makes a switch win for ever.
local switches = KEYS[1]
local found = redis.call('TYPE', switches).ok
if found ~= 'hash' and found ~= 'none' then
  redis.call('UNLINK', switches)
end

local function time_of(value)
  return value and tonumber(string.match(value, '^(%d+) ')) or 0
end

-- The oldest goes where there are too many: whoever still holds it brings it back.
local function make_room()
  local all, oldest = redis.call('HGETALL', switches), nil
  for at = 1, #all, 2 do
    if not oldest or time_of(all[at + 1]) < time_of(all[oldest + 1]) then
      oldest = at
    end
  end
  redis.call('HDEL', switches, all[oldest])
end

for first = 4, #ARGV, 4 do
  local field, at, is_new, rest = ARGV[first], tonumber(ARGV[first + 1]), ARGV[first + 2] == '1', ARGV[first + 3]
  local held = time_of(redis.call('HGET', switches, field))
  at = math.min(at, now_ms())
  if is_new then
    at = math.max(now_ms(), held + 1)
  end
  if at > held then
    if held == 0 and redis.call('HLEN', switches) >= tonumber(ARGV[3]) then
      make_room()
    end
    redis.call('HSET', switches, field, string.format('%.0f %s', at, rest))
  end
end
return redis.call('HGETALL', switches)
