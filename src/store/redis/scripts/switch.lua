-- KEYS: switches. ARGV: prefix, generation, the most fields of rules, the most of configs, then of each switch its field, the
-- time in ms at which it was thrown, '1' if it is thrown now, the rest of it. Returns all fields and values.
-- The latest of a field stays, by Redis's time: what is thrown now is later than what is there, and no clock that is
-- ahead makes a switch win for ever.
local switches = KEYS[1]
local most = { rule = tonumber(ARGV[3]), config = tonumber(ARGV[4]) }
local found = redis.call('TYPE', switches).ok
if found ~= 'hash' and found ~= 'none' then
  redis.call('UNLINK', switches)
end

local function time_of(value)
  return value and tonumber(string.match(value, '^(%d+) ')) or 0
end

local function kind_of(field)
  return string.match(field, '^(%a+) ')
end

-- Whether it says anything now; what cannot be read may.
local function is_in_force(rest)
  local is_read, body = pcall(cjson.decode, rest or '')
  if not is_read or type(body) ~= 'table' then
    return true
  end
  local ends = tonumber(body['until'])
  return (body.mode ~= nil or body.percent ~= nil) and (not ends or now_ms() < ends)
end

-- Whether there is room for a field that is not there: the sidecars choose alike (rollout/switches.rs).
local function make_room(field, at, rest)
  local kind = kind_of(field)
  if not most[kind or ''] then
    return true
  end
  local all, count, oldest = redis.call('HGETALL', switches), 0, nil
  local is_new_in_force = is_in_force(rest)
  for first = 1, #all, 2 do
    local value = all[first + 1]
    if kind_of(all[first]) == kind then
      count = count + 1
      local gives_way
      if kind == 'config' then
        gives_way = time_of(value) < at
      else
        gives_way = is_new_in_force and not is_in_force(string.match(value, '^%d+ (.*)$'))
      end
      if gives_way and (not oldest or time_of(value) < time_of(all[oldest + 1])) then
        oldest = first
      end
    end
  end
  if count < most[kind] then
    return true
  end
  if oldest then
    redis.call('HDEL', switches, all[oldest])
  end
  return oldest ~= nil
end

for first = 5, #ARGV, 4 do
  local field, at, is_new, rest = ARGV[first], tonumber(ARGV[first + 1]), ARGV[first + 2] == '1', ARGV[first + 3]
  local there = redis.call('HGET', switches, field)
  local held = time_of(there)
  if held > now_ms() + 60000 then
    -- It was not thrown then.
    held = now_ms()
  end
  at = math.min(at, now_ms())
  if is_new then
    at = math.max(now_ms(), held + 1)
  end
  if at > held and (there or make_room(field, at, rest)) then
    redis.call('HSET', switches, field, string.format('%.0f %s', at, rest))
  end
end
return redis.call('HGETALL', switches)
