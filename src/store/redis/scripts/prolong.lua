-- KEYS: some leases, one at least. ARGV: prefix, generation, how many ms they last by themselves, and of each the key and the token.
-- Has them last on from now. Returns for each 1, or 0 if it does not stand.
return run(function()
  local ending, results, names, ended = now_ms() + tonumber(ARGV[3]), {}, {}, {}
  for at = 4, #ARGV, 2 do
    names[#names + 1] = prefix .. ':l:' .. ARGV[at]
  end
  local found = redis.call('MGET', unpack(names))
  for i = 1, #names do
    local key, token = ARGV[2 * i + 2], ARGV[2 * i + 3]
    local stands = found[i] == generation .. token
    results[i] = stands and 1 or 0
    if stands then
      -- Never earlier than before: who looks for leases does so in the order of their ends (entries.lua).
      redis.call('ZADD', leases, 'XX', 'GT', ending, key)
    elseif not found[i] then
      ended[#ended + 1] = names[i]
    end
  end
  -- Having been read they would stay watched, and whoever takes one later would look like a purge.
  for i = 1, #ended do
    redis.call('SET', ended[i], '')
    redis.call('UNLINK', ended[i])
  end
  return results
end)
