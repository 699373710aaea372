-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', the process if the purge is whole with this (else ''), the
-- number of its last purge, how an entry begins that is purged softly now ('' if it is to be removed), then either 'these'
-- and some hundred members of `:ix` or `:tx` at most, or 'all', where to begin and how all members begin that are meant.
-- Purges what they stand for; of ' auth:<digest>', or ' auth:*', tells whoever has read its name. Returns how many
-- entries that were, the purge's number if it is whole, and where to go on ('': done).
local is_of_tags, softened = ARGV[3] == 'tags', ARGV[6]

-- Members looked at before the next call has its turn.
local ENOUGH = 160

-- The time at the end of what such an entry begins with, as one that was not purged softly has it.
local never = string.rep('\0', 8)

-- Marks an entry, so that it is stale and stays. Returns how many have become so; nothing if it cannot be marked: there
-- is none, or a stub, or one of another form.
local function soften(name)
  local from = #generation
  local found = redis.pcall('GETRANGE', name, from, from + #softened - 1)
  if type(found) ~= 'string' or #found ~= #softened or string.sub(found, 1, -9) ~= string.sub(softened, 1, -9) then
    return nil
  end
  local is_news = string.sub(found, -8) == never
  -- Also where it says so already: whoever holds it is told.
  redis.call('SETRANGE', name, from, is_news and softened or found)
  return is_news and 1 or 0
end

local function tell_of_identity(digest)
  redis.call('SET', prefix .. (digest == '*' and ':a' or ':a:' .. digest), '1', 'PX', '1000')
end

-- Those of `keys` that cannot be made stale, and so are to be removed; and how many have become stale.
local function soften_all(keys)
  local hard, marked = {}, 0
  for _, key in ipairs(keys) do
    local is_news = soften(prefix .. ':e:' .. key)
    if is_news then
      marked = marked + is_news
    else
      hard[#hard + 1] = key
    end
  end
  return hard, marked
end

-- Purges `keys`, each of which is there once. Returns how many had an entry.
local function purge(keys, untagged)
  local hard, removed = keys, 0
  for i = 1, untagged and 0 or #keys do
    if string.byte(keys[i]) == 32 and string.sub(keys[i], 1, 6) == ' auth:' then
      tell_of_identity(string.sub(keys[i], 7))
    end
  end
  if softened ~= '' then
    hard, removed = soften_all(keys)
  end
  unlease(keys)
  if #hard > 0 then
    local gone = redis.call('UNLINK', unpack(names_of(':e:', hard)))
    local _, alive = forget(hard, untagged)
    removed = removed + gone
    if alive > gone then
      tell_of_eviction()
    end
  end
  return removed
end

local function purge_members(members)
  local keys, is_known = {}, {}
  for _, member in ipairs(members) do
    local key = is_of_tags and string.sub(member, string.find(member, '\0', 1, true) + 1) or member
    if not is_known[key] then
      keys[#keys + 1], is_known[key] = key, true
    end
  end
  return #keys > 0 and purge(keys) or 0
end

-- Purges what the members of a page stand for that begin with `beginning`. Returns how many entries that were, and how
-- many were looked at.
local function purge_page(set, bound, beginning)
  local found, is_all = members_from(set, bound, beginning)
  if #found == 0 then
    return 0, 0
  end
  -- Members that have one tag have one key each, and all of them go.
  if is_of_tags and softened == '' and string.sub(beginning, -1) == '\0' then
    if is_all then
      remove_page(set, bound)
    else
      remove_from(set, bound, found)
    end
    for i = 1, #found do
      found[i] = string.sub(found[i], #beginning + 1)
    end
    return purge(found, string.sub(beginning, 1, -2)), #found
  end
  return purge_members(found), #found
end

-- Purges all members that begin with `beginning`, from the page of `from` on. Returns how many entries that were, and
-- where to go on.
local function purge_pages(set, from, beginning)
  local removed, looked = 0, 0
  repeat
    local bound = find_bound(set, from)
    from = next_bound_from(set, bound, beginning)
    local some, members = purge_page(set, bound, beginning)
    removed, looked = removed + some, looked + members
  until not from or looked >= ENOUGH
  return removed, from or ''
end

return run(function()
  local removed, rest = 0, ''
  if ARGV[7] == 'these' then
    removed = purge_members({ unpack(ARGV, 8) })
  else
    removed, rest = purge_pages(is_of_tags and tagged or index, ARGV[8], ARGV[9])
  end
  local number = ARGV[4] ~= '' and rest == '' and land(ARGV[4], ARGV[5]) or 0
  return { removed + voided, number, rest }
end)
