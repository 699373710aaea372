-- KEYS: control. ARGV: prefix, generation, and behind them keys, each with the number of its hits.
-- What these entries are worth now. Hits on what has left meanwhile count nothing.
local FIRST = 3

return run(function()
  for i = FIRST, #ARGV, 2 do
    local key, hits = ARGV[i], tonumber(ARGV[i + 1])
    local line = value_of(index, key)
    if line then
      local priority, member = string.sub(line, 1, 1), expiry_member(key, line)
      local page = page_name(expiry[priority], find_bound(expiry[priority], member))
      local before = unpack_worth(redis.call('HGET', page, member) or lose())
      redis.call('HSET', page, member, pack_worth(priority, key, line, before + hits))
    end
  end
  return 0
end)
