-- KEYS: control. ARGV: prefix, generation, most tags remembered, '1' if any tag may be meant, exact tags.
-- Leaves the number of this purge with its tags, for the fills that are under way (put.lua).
return run(function()
  local purge = redis.call('HINCRBY', control, 'sq', 1)
  if ARGV[4] == '1' then
    redis.call('HSET', control, 'fl', purge)
  end
  for i = 5, #ARGV do
    redis.call('ZADD', fences, purge, ARGV[i])
  end
  -- What is forgotten counts as any tag.
  local over = redis.call('ZCARD', fences) - 1 - tonumber(ARGV[3])
  if over > 0 then
    local last = redis.call('ZRANGE', fences, over - 1, over - 1, 'WITHSCORES')
    redis.call('HSET', control, 'fl', math.max(tonumber(last[2]), tonumber(redis.call('HGET', control, 'fl') or 0)))
    redis.call('ZREMRANGEBYRANK', fences, 0, over - 1)
  end
  return purge
end)
