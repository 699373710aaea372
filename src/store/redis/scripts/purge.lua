-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', the process if the purge is whole with this (else ''), the
-- number of its last purge, how an entry begins that is purged softly now ('' if it is to be removed), then either 'these'
-- and some hundred members of `:ix` or `:tx` at most, or 'all', where to begin, how all members begin that are meant, and
-- from which end on leases are to be looked at ('': that is done).
-- Purges what they stand for, as far as one call does; of ' auth:<digest>', or ' auth:*', tells whoever has read its name.
-- Returns how many entries that were, the purge's number if it is whole, where to go on (nothing: done), of 'these' the
-- keys that are left, and the end of leases to go on with.
local is_of_tags, softened = ARGV[3] == 'tags', ARGV[6]

-- Members looked at before the next call has its turn, and a page at most more; and of pages that are taken as a whole.
local ENOUGH, ENOUGH_OF_PAGES = 120, 240

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

local function tell_of_identities(keys)
  for i = 1, #keys do
    if string.byte(keys[i]) == 32 and string.sub(keys[i], 1, 6) == ' auth:' then
      tell_of_identity(string.sub(keys[i], 7))
    end
  end
end

-- What a call takes out: the lines of entries, how many of these Redis had, and the keys that are left to the next call.
-- `pages` are those of `keys` in the index, if they are known. Also returns how many entries went or have become stale.
local function take(keys, pages)
  local hard, marked = keys, 0
  unlease(keys)
  if softened ~= '' then
    hard, marked = soften_all(keys)
    pages = nil
  end
  if #hard == 0 then
    return { lines = {}, there = 0, left = {} }, marked
  end
  local lines, _, left = take_lines(pages or by_page(index, hard), MOST_WORK)
  local there = redis.call('UNLINK', unpack(names_of(':e:', without(hard, left))))
  return { lines = lines, there = there, left = left }, marked + there
end

-- Undoes what stands beside what was taken, but for `untagged`, of which that is done.
local function finish(taken, untagged)
  local _, alive = unlist_lines(taken.lines, untagged)
  if alive > taken.there then
    tell_of_eviction()
  end
end

-- Each key of `members` once.
local function keys_of(members)
  local keys, is_known = {}, {}
  for i = 1, #members do
    local member = members[i]
    local key = is_of_tags and key_behind_tag(member) or member
    if not is_known[key] then
      keys[#keys + 1], is_known[key] = key, true
    end
  end
  return keys
end

-- Purges `keys`, each of which is there once. Returns how many had an entry, and those that are left.
local function purge(keys, pages)
  if #keys == 0 then
    return 0, {}
  end
  tell_of_identities(keys)
  local taken, removed = take(keys, pages)
  finish(taken)
  return removed, taken.left
end

-- Pages from that of `from` on with members that begin with `beginning`, until these are `enough`. Returns the bound of each
-- page, that of the next one, those members, and whether they are all of it; and where to go on (nothing: these are all).
local function gather(set, from, beginning, enough)
  local pages, count, bound = {}, 0, find_bound(set, from)
  while bound and count < enough do
    local behind = next_bound(set, bound)
    local following = begins_so(behind, beginning)
    local members, is_all = members_from(set, bound, beginning, following)
    if #members > 0 then
      pages[#pages + 1] = { bound = bound, behind = behind, members = members, is_all = is_all }
    end
    bound, count = following, count + #members
  end
  return pages, bound
end

local function keys_behind(beginning, members)
  local keys, from = {}, #beginning + 1
  for i = 1, #members do
    keys[i] = string.sub(members[i], from)
  end
  return keys
end

-- Purges the entries of a page of one tag, and leaves their lines for later, which are most of the work. Returns how many
-- that were; nothing, and does nothing, where one is missing: its line has to tell whether Redis has evicted it.
local function purge_page(page, beginning)
  local keys = keys_behind(beginning, page.members)
  local names = names_of(':e:', keys)
  if redis.call('EXISTS', unpack(names)) < #keys then
    return nil
  end
  unlease(keys)
  move_page(tagged, page.bound, purged)
  add('px', #keys)
  return redis.call('UNLINK', unpack(names))
end

-- Purges what has one tag and is in `pages`, with its lines.
local function purge_parts(pages, beginning)
  local keys = {}
  for _, page in ipairs(pages) do
    for _, key in ipairs(keys_behind(beginning, page.members)) do
      keys[#keys + 1] = key
    end
  end
  if #keys == 0 then
    return 0, {}
  end
  local taken, removed = take(keys)
  local is_left = {}
  for _, key in ipairs(taken.left) do
    is_left[beginning .. key] = true
  end
  for _, page in ipairs(pages) do
    local gone = page.members
    if #taken.left > 0 then
      gone = {}
      for _, member in ipairs(page.members) do
        gone[#gone + 1] = not is_left[member] and member or nil
      end
    end
    if page.is_all and #gone == #page.members then
      remove_page(tagged, page.bound)
    elseif #gone > 0 then
      remove_from(tagged, page.bound, gone)
    end
  end
  finish(taken, string.sub(beginning, 1, -2))
  return removed, taken.left
end

-- Purges what has one tag, whose members are pages of keys of their own, all of which go.
local function purge_tag(from, beginning)
  local pages, following = gather(tagged, from, beginning, ENOUGH_OF_PAGES)
  local parts, count, removed, moved = {}, 0, 0, nil
  for _, page in ipairs(pages) do
    if count >= ENOUGH then
      following = page.bound
      break
    end
    local size, there = #page.members, nil
    if page.is_all and size >= MANY and has_room_for_page(purged, page.bound, page.behind, moved) then
      there = purge_page(page, beginning)
    end
    if there then
      removed, moved = removed + there, page.bound
    else
      parts[#parts + 1], count = page, count + size
    end
  end
  if moved then
    -- Stores tidy from now on.
    note('tn', 0)
  end
  local more, left = purge_parts(parts, beginning)
  return removed + more, #left > 0 and from or following
end

-- Purges all members that begin with `beginning`, from the page of `from` on. Returns how many entries that were, and
-- where to go on.
local function purge_pages(set, from, beginning)
  if is_of_tags and softened == '' and string.sub(beginning, -1) == '\0' then
    return purge_tag(from, beginning)
  end
  local pages, following = gather(set, from, beginning, ENOUGH)
  local members, of_index = {}, {}
  for _, page in ipairs(pages) do
    of_index[page.bound] = page.members
    for i = 1, #page.members do
      members[#members + 1] = page.members[i]
    end
  end
  local removed, left = purge(keys_of(members), not is_of_tags and of_index or nil)
  return removed, #left > 0 and from or following
end

-- Takes back some of the leases of keys that begin so: those of what is not stored are in no index. Returns the end to go on with.
local function unlease_from(ending, beginning)
  local keys, following = leased_from(ending, beginning)
  unlease(keys)
  return following
end

return run(function()
  local removed, rest, left, ending = 0, nil, {}, ARGV[10] or ''
  if ARGV[7] == 'these' then
    removed, left = purge(keys_of({ unpack(ARGV, 8) }))
  else
    ending = ending ~= '' and unlease_from(ending, ARGV[9]) or ''
    if ending == '' then
      removed, rest = purge_pages(is_of_tags and tagged or index, ARGV[8], ARGV[9])
    else
      rest = ARGV[8]
    end
  end
  local is_whole = ARGV[4] ~= '' and not rest and #left == 0
  return { removed + voided, is_whole and land(ARGV[4], ARGV[5]) or 0, rest or false, left, ending }
end)
