-- KEYS: layouts. ARGV: prefix, tag, the data set's id at the beat, a fresh id, layouts that were in use.
-- Called after everything of the own layout was removed: its data are another set from now on, and count
-- again. Returns 0 if a sidecar of the own layout has done so since the beat.
if redis.call('HGET', control, 'id') ~= ARGV[3] then
  return 0
end
local alive = ARGV[2] .. ':alive'
for i = 5, #ARGV do
  -- One that is in use again stays, for the next beat to find.
  if tonumber(redis.call('HGET', alive, ARGV[i]) or 0) <= now_ms() then
    redis.call('SREM', KEYS[1], ARGV[i])
    redis.call('HDEL', alive, ARGV[i])
  end
end
redis.call('HSET', control, 'id', ARGV[4])
return 1
