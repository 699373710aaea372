-- KEYS: layouts. ARGV: prefix, generation, tag, a layout that was in use, its prefix as a glob, cursor.
-- Removes a page of all that this layout has stored. Returns the next cursor; 0 as well if the layout is
-- in use again.
return run(function()
  if tonumber(redis.call('HGET', ARGV[3] .. ':alive', ARGV[4]) or 0) > now_ms() then
    return '0'
  end
  local page = redis.call('SCAN', ARGV[6], 'MATCH', ARGV[5] .. ':*', 'COUNT', 150)
  for _, name in ipairs(page[2]) do
    redis.call('UNLINK', name)
  end
  return page[1]
end)
