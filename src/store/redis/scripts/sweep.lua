-- KEYS: control. ARGV: prefix, generation, prefix as a glob, cursor, the generation in which this sweep began.
-- Removes, of one page of all names, the entries and leases that are void. Returns the next cursor; 0 as well if
-- there is another generation by now, for which another sweep begins.
return run(function()
  if generation ~= ARGV[5] then
    return '0'
  end
  local page = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[3] .. ':[el]:*', 'COUNT', 300)
  for _, name in ipairs(page[2]) do
    if redis.pcall('GETRANGE', name, 0, 15) ~= generation then
      redis.call('UNLINK', name)
    end
  end
  if page[1] == '0' then
    redis.call('HDEL', control, 'sw', 'vb')
  else
    redis.call('HSET', control, 'sw', now_ms() + 10000)
  end
  return page[1]
end)
