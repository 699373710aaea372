-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', where to begin, how the members begin.
-- Returns where to go on ('': that was all), and the members of a page of the paged set.
local set, beginning = ARGV[3] == 'tags' and tagged or index, ARGV[5]

return run(function()
  local bound = find_bound(set, ARGV[4])
  return { next_bound_from(set, bound, beginning) or '', members_from(set, bound, beginning) }
end)
