-- KEYS: layouts. ARGV: prefix, generation, tag, layouts that were in use.
-- Called after a generation has begun behind them.
return run(function()
  local alive = ARGV[3] .. ':alive'
  for i = 4, #ARGV do
    -- One that is in use again stays, for the next beat to find.
    if tonumber(redis.call('HGET', alive, ARGV[i]) or 0) <= now_ms() then
      redis.call('SREM', KEYS[1], ARGV[i])
      redis.call('HDEL', alive, ARGV[i])
    end
  end
  return 1
end)
