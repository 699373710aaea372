-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', the process if the purge is whole with this (else ''), the
-- number of its last purge, then some hundred members of `:ix` or `:tx` at most.
-- Removes what they stand for; of ' auth:<digest>', or ' auth:*', tells whoever has read its name. Returns how many entries that were, and the purge's number if it is whole.
return run(function()
  local removed = 0
  for i = 6, #ARGV do
    local key = ARGV[i]
    if ARGV[3] == 'tags' then
      redis.call('ZREM', tagged, key)
      key = string.sub(key, string.find(key, '\0', 1, true) + 1)
    end
    if string.sub(key, 1, 6) == ' auth:' then
      local digest = string.sub(key, 7)
      redis.call('SET', prefix .. (digest == '*' and ':a' or ':a:' .. digest), '1', 'PX', '1000')
    end
    local gone = redis.call('UNLINK', prefix .. ':e:' .. key)
    removed = removed + gone
    if forget(key) and gone == 0 then
      tell_of_eviction()
    end
    unlease(key)
    redis.call('ZREM', index, key)
  end
  local number = ARGV[4] ~= '' and land(ARGV[4], ARGV[5]) or 0
  return { removed + voided, number }
end)
