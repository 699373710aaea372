-- KEYS: lease. ARGV: prefix, generation, key, token.
return run(function()
  if read(KEYS[1]) == ARGV[4] then
    unlist({ ARGV[3] })
    -- Last, as in put.lua.
    redis.call('UNLINK', KEYS[1])
  end
  return 1
end)
