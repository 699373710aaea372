-- KEYS: control. ARGV: prefix, prefix as a glob, cursor.
-- Entries and leases that no index knows. Returns the next cursor and how many entries went.
local page = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[2] .. ':[el]:*', 'COUNT', 300)
local removed = 0
for _, name in ipairs(page[2]) do
  local key = string.sub(name, #prefix + 4)
  if not redis.call('ZSCORE', index, key) then
    if redis.call('UNLINK', name) == 1 and string.sub(name, #prefix + 2, #prefix + 2) == 'e' then
      removed = removed + 1
    end
  end
end
if page[1] == '0' and redis.call('EXISTS', index) == 0 then
  redis.call('UNLINK', expiry, meta, tagged, leases)
  redis.call('HSET', control, 'b0', 0, 'b1', 0, 'b2', 0, 'n0', 0, 'n1', 0, 'n2', 0, 'l', 0)
end
return { page[1], removed }
