-- KEYS: control. ARGV: prefix, generation.
-- Removes the bookkeeping of what has expired or was purged. Returns 1 if there is more of it.
return run(function()
  local is_more = tidy(120)
  if is_more then
    redis.call('HSET', control, 'tw', now_ms() + 3000)
  else
    redis.call('HDEL', control, 'tw')
  end
  return is_more and 1 or 0
end)
