-- KEYS: control. ARGV: prefix, 'keys' or 'tags', then some hundred members of `:ix` or `:tx` at most.
-- Removes what they stand for. Returns how many entries that were.
local removed = 0
for i = 3, #ARGV do
  local key = ARGV[i]
  if ARGV[2] == 'tags' then
    redis.call('ZREM', tagged, key)
    key = string.sub(key, string.find(key, '\0', 1, true) + 1)
  end
  removed = removed + redis.call('UNLINK', prefix .. ':e:' .. key)
  forget(key)
  unlease(key)
  redis.call('ZREM', index, key)
end
return removed
