-- KEYS: entry, lease. ARGV: prefix, generation, key, token, lease in ms, budget.
-- Returns 0 and the token of the fill that has it, 1 (ours) or 2 (no room) and the purge number and the
-- entry's bytes.
local key, token, lasting, max = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

return run(function()
  local line, bound = value_of(index, key)
  local entry = read(KEYS[1])
  if not entry then
    if line and line ~= '' then
      local _, alive = forget({ key }, MOST_WORK)
      line, bound = value_of(index, key)
      if alive > 0 then
        tell_of_eviction()
      end
    end
  elseif entry == '' then
    -- A stub (put.lua).
    entry = false
  end
  local purges = tonumber(redis.call('HGET', control, 'sq'))
  -- Read, so that client tracking tells of a purge that takes the lease.
  local holder = read(KEYS[2])
  if holder then
    return { 0, holder }
  end
  -- Every store tidies as well (put.lua).
  if total() + lease_cost(key) > max then
    tidy(20)
    line, bound = value_of(index, key)
    if total() + lease_cost(key) > max then
      settle(key)
      return { 2, purges, entry }
    end
  end
  redis.call('SET', KEYS[2], generation .. token, 'PX', lasting)
  if redis.call('ZADD', leases, now_ms() + lasting, key) == 1 then
    add('l', lease_cost(key))
  end
  if not line then
    insert(index, key, '', bound)
  end
  redis.call('EXISTS', KEYS[2])
  return { 1, purges, entry }
end)
