-- KEYS: writes. ARGV: prefix, generation, the most writes, for how many ms they are kept, the number of the last one known, then
-- writes. Returns the number of the last one there is, and those after the one known.
-- Numbers only grow, also where all were lost: they begin with the time.
local writes, most = KEYS[1], tonumber(ARGV[3])
local found = redis.call('TYPE', writes).ok
if found ~= 'zset' and found ~= 'none' then
  redis.call('UNLINK', writes)
end
local last = tonumber(redis.call('ZRANGE', writes, -1, -1, 'WITHSCORES')[2] or 0)
for at = 6, #ARGV do
  last = math.max(last + 1, now_micros())
  redis.call('ZADD', writes, string.format('%.0f', last), ARGV[at])
end
if #ARGV > 5 then
  redis.call('ZREMRANGEBYRANK', writes, 0, -most - 1)
  redis.call('PEXPIRE', writes, tonumber(ARGV[4]))
end
local later = redis.call('ZRANGEBYSCORE', writes, '(' .. ARGV[5], '+inf')
return { string.format('%.0f', last), later }
