-- KEYS: sidecars. ARGV: prefix, generation, for how many ms a word counts, the most sidecars, who speaks, its word; none:
-- it goes. Returns of each that has spoken lately its name, the ms since then, and its word.
local sidecars, lifetime, most = KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local found = redis.call('TYPE', sidecars).ok
if found ~= 'hash' and found ~= 'none' then
  redis.call('UNLINK', sidecars)
end
if ARGV[6] == '' then
  redis.call('HDEL', sidecars, ARGV[5])
else
  redis.call('HSET', sidecars, ARGV[5], string.format('%.0f %s', now_ms(), ARGV[6]))
end

local all, lately = redis.call('HGETALL', sidecars), {}
for at = 1, #all, 2 do
  local said, word = string.match(all[at + 1], '^(%d+) (.*)$')
  local age = said and now_ms() - tonumber(said)
  if age and age < lifetime and age > -lifetime then
    table.insert(lately, { all[at], math.max(age, 0), word })
  else
    redis.call('HDEL', sidecars, all[at])
  end
end
-- The one who has been silent for longest goes where there are too many.
table.sort(lately, function(one, other)
  return one[2] < other[2]
end)
while #lately > most do
  redis.call('HDEL', sidecars, table.remove(lately)[1])
end
if #lately > 0 then
  redis.call('PEXPIRE', sidecars, lifetime)
end
return lately
