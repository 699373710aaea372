-- KEYS: lease. ARGV: prefix, key, token.
if redis.call('GET', KEYS[1]) == ARGV[3] then
  unlist(ARGV[2])
  settle(ARGV[2])
  -- Last, as in put.lua.
  redis.call('UNLINK', KEYS[1])
end
return 1
