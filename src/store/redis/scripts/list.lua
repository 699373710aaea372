-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', where to begin, how the members begin, and from which end on leases are
-- to be looked at ('': that is done).
-- Returns where to go on ('': that was all), the members of a page of the paged set, after all leases, or keys with a lease,
-- and the end of leases to go on with.
local set, from, beginning, ending = ARGV[3] == 'tags' and tagged or index, ARGV[4], ARGV[5], ARGV[6]

return run(function()
  local keys, following = {}, nil
  if ending ~= '' then
    keys, following = leased_from(ending, beginning)
    if following then
      return { from, keys, following }
    end
  end
  local bound = find_bound(set, from)
  local members = members_from(set, bound, beginning)
  for i = 1, #keys do
    members[#members + 1] = keys[i]
  end
  return { next_bound_from(set, bound, beginning) or '', members, '' }
end)
