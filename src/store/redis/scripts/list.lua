-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', where to begin, how the members begin.
-- Returns where to go on ('': that was all), and the members of a page of the paged set; of keys those with a lease first.
local set, beginning = ARGV[3] == 'tags' and tagged or index, ARGV[5]

return run(function()
  local bound = find_bound(set, ARGV[4])
  local members = members_from(set, bound, beginning)
  if set == index and ARGV[4] == beginning then
    for _, key in ipairs(leased_from(beginning)) do
      members[#members + 1] = key
    end
  end
  return { next_bound_from(set, bound, beginning) or '', members }
end)
