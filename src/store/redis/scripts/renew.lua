-- KEYS: control. ARGV: prefix, generation, why, the generation that is to end ('': whichever it is), the process if this
-- is a purge of its (else ''), the number of its last purge.
-- Begins another generation. Returns how many entries are void by it, the purge's number, and 1 if it has begun.
return run(function()
  if ARGV[4] == '' or generation == ARGV[4] then
    begin_generation(ARGV[3])
  end
  local number = ARGV[5] ~= '' and land(ARGV[5], ARGV[6]) or 0
  return { voided, number, begun == ARGV[3] and 1 or 0 }
end)
