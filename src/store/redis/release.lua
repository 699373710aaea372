-- KEYS: lease. ARGV: prefix, key, token.
if redis.call('GET', KEYS[1]) == ARGV[3] then
  unlease(ARGV[2])
  settle(ARGV[2])
end
return 1
