-- KEYS: control. ARGV: prefix, generation, names without the prefix.
-- Has Redis forget who has read these names, where nothing is: it watches a name for them until that is written. They are
-- told, as of any change. Returns how many names that were.
local absent = {}
for i = 3, #ARGV do
  local name = prefix .. ':' .. ARGV[i]
  if redis.call('EXISTS', name) == 0 then
    absent[#absent + 1] = name
  end
end
for _, name in ipairs(absent) do
  redis.call('SET', name, '')
  redis.call('UNLINK', name)
end
return #absent
