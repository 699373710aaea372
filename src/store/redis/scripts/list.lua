-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', where to begin, how the members begin.
-- Returns where to go on ('': that was all), and the members of a page of the paged set.
local set, beginning = ARGV[3] == 'tags' and tagged or index, ARGV[5]

return run(function()
  local bound = find_bound(set, ARGV[4])
  local rest = next_bound(set, bound)
  if rest and string.sub(rest, 1, #beginning) ~= beginning then
    rest = nil
  end
  local found = {}
  for _, member in ipairs(members_of(set, bound)) do
    if member ~= '' and string.sub(member, 1, #beginning) == beginning then
      found[#found + 1] = member
    end
  end
  return { rest or '', found }
end)
