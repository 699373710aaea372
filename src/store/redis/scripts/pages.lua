-- Paged sets: ordered sets of which a member costs a few bytes beside its own, and not a hundred. A directory, a sorted
-- set with all scores 0, has the lower bound of each page: the page of a member is that of the last bound which is not
-- behind it. A page is a hash, of so few fields that Redis keeps it in one piece of memory. None is ever empty: the
-- first one, below which nothing is, has the field ''. So a page that is not there was lost.
--
-- Lua compares texts by the server's locale, so whatever has to be in order is asked of Redis, or compared by digits.
local PAGE_MEMBERS, SMALL_PAGE = 120, 16

local function lose()
  error('lost')
end

local function page_name(set, bound)
  return set .. ':' .. generation .. ':' .. bound
end

local function begin_set(set)
  redis.call('ZADD', set, 0, '')
  redis.call('HSET', page_name(set, ''), '', '')
end

-- The bound of the page in which `member` is, or would be.
local function find_bound(set, member)
  return redis.call('ZREVRANGEBYLEX', set, '[' .. member, '-', 'LIMIT', 0, 1)[1] or lose()
end

local function next_bound(set, bound)
  return redis.call('ZRANGEBYLEX', set, '(' .. bound, '+', 'LIMIT', 0, 1)[1]
end

local function ensure_page(page)
  if redis.call('EXISTS', page) == 0 then
    lose()
  end
end

-- The members of a page, in no order.
local function members_of(set, bound)
  local members = redis.call('HKEYS', page_name(set, bound))
  return #members > 0 and members or lose()
end

-- Those of a page that begin with `beginning`, but for the member that stays; and whether they are all that is in it. All
-- are between its bound and `following`, the next one's, if that begins so, too.
local function members_from(set, bound, beginning, following)
  local found, all = {}, members_of(set, bound)
  if following and bound ~= '' and string.sub(bound, 1, #beginning) == beginning then
    return all, true
  end
  for i = 1, #all do
    local member = all[i]
    if member ~= '' and string.sub(member, 1, #beginning) == beginning then
      found[#found + 1] = member
    end
  end
  return found, #found == #all
end

-- A bound, if it begins so, and nothing otherwise: then there are no such members in its page or behind.
local function begins_so(bound, beginning)
  return bound and string.sub(bound, 1, #beginning) == beginning and bound or nil
end

-- The bound of the next page that may have members that begin with `beginning`; nothing if there is none.
local function next_bound_from(set, bound, beginning)
  return begins_so(next_bound(set, bound), beginning)
end

-- What stands with `member`, false if it is not there; and the bound of its page.
local function value_of(set, member)
  local bound = find_bound(set, member)
  local page = page_name(set, bound)
  local value = redis.call('HGET', page, member)
  if not value then
    ensure_page(page)
  end
  return value, bound
end

-- Whether Lua's order of texts is Redis's: that of their bytes, as the locale of most servers has it.
local is_bytewise = 'B' < 'a' and 'a' < 'b' and '-' < '0' and 'a-b' < 'aab' and 'z' < '\195\164'
  and '\139b' < '\140a'

-- Texts that Lua has in Redis's order of the members: in any locale digits are, and some have two letters for one.
local function in_order(member)
  if is_bytewise then
    return member
  end
  return (string.gsub(member, '.', function(char)
    return string.format('%03d', string.byte(char))
  end))
end

-- Where a page is parted: at about the middle one, which is sought among so many; where the newest is the last, as where they
-- come in order, at that one.
local SOUGHT_AMONG = 15
local function find_pivot(texts, newest)
  local some, step, is_last = {}, #texts / SOUGHT_AMONG, true
  for i = 1, #texts do
    is_last = is_last and not (newest < texts[i])
  end
  if is_last then
    return newest
  end
  for i = 1, SOUGHT_AMONG do
    some[i] = texts[math.floor((i - 0.5) * step) + 1]
  end
  table.sort(some)
  return some[math.ceil(SOUGHT_AMONG / 2)]
end

-- The shortest text that is behind `below` and not behind `member`.
local function bound_between(below, member)
  local differs = 1
  while string.byte(member, differs) == string.byte(below, differs) do
    differs = differs + 1
  end
  return string.sub(member, 1, differs)
end

-- Moves about the upper half of a page that is full into one of its own.
local function split(set, page, newest)
  local fields, texts = redis.call('HGETALL', page), {}
  for i = 1, #fields, 2 do
    texts[#texts + 1] = in_order(fields[i])
  end
  local pivot = find_pivot(texts, in_order(newest))
  local names, moved, count, first, last, last_text = {}, {}, 0, nil, '', ''
  for i = 1, #texts do
    local text, member = texts[i], fields[2 * i - 1]
    if text < pivot then
      if last_text < text then
        last, last_text = member, text
      end
    else
      count = count + 1
      names[count], moved[2 * count - 1], moved[2 * count] = member, member, fields[2 * i]
      first = text == pivot and member or first
    end
  end
  local bound = bound_between(last, first)
  if count == #texts or redis.call('ZADD', set, 0, bound) == 0 then
    lose()
  end
  redis.call('HSET', page_name(set, bound), unpack(moved))
  redis.call('HDEL', page, unpack(names))
end

-- `member` is there afterwards, with `value`; `bound` is that of its page, if it is known.
local function insert(set, member, value, bound)
  local page = page_name(set, bound or find_bound(set, member))
  if redis.call('HSET', page, member, value) == 0 then
    return
  end
  local members = redis.call('HLEN', page)
  if members == 1 then
    lose()
  elseif members > PAGE_MEMBERS then
    split(set, page, member)
  end
end

-- After members were removed: a page without any goes, and what is left of a small one moves to the page before it.
local function shrink(set, bound, page)
  local left = redis.call('HLEN', page)
  if left == 0 then
    redis.call('ZREM', set, bound)
  elseif left <= SMALL_PAGE and bound ~= '' then
    local before = redis.call('ZREVRANGEBYLEX', set, '(' .. bound, '-', 'LIMIT', 0, 1)[1] or lose()
    local target = page_name(set, before)
    local held = redis.call('HLEN', target)
    if held == 0 then
      lose()
    elseif held + left <= PAGE_MEMBERS * 3 / 4 then
      redis.call('HSET', target, unpack(redis.call('HGETALL', page)))
      redis.call('UNLINK', page)
      redis.call('ZREM', set, bound)
    end
  end
end

-- The bounds of the pages of `members`, in order; nothing if there are many more of them.
local function bounds_of(set, members)
  local first, last, most = members[1], members[1], 2 * #members
  for i = 2, #members do
    local member = members[i]
    if member < first then
      first = member
    elseif last < member then
      last = member
    end
  end
  local bounds = redis.call('ZRANGEBYLEX', set, '[' .. find_bound(set, first), '[' .. last, 'LIMIT', 0, most + 1)
  return #bounds <= most and bounds or nil
end

-- The last of `bounds` that is not behind `member`; the one at `near` is tried first.
local function search_bound(bounds, member, near)
  local low, high = 1, #bounds
  if bounds[near] <= member then
    local following = bounds[near + 1]
    if not following or member < following then
      return near
    end
    low = near + 1
  else
    high = near - 1
  end
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if bounds[middle] <= member then
      low = middle
    else
      high = middle - 1
    end
  end
  return low
end

-- `members`, each of which is there once, by the bounds of their pages.
local function by_page(set, members)
  local bounds = #members > 4 and is_bytewise and bounds_of(set, members) or nil
  if bounds and #bounds == 1 then
    return { [bounds[1]] = members }
  end
  local pages, near = {}, 1
  for i = 1, #members do
    local member, bound = members[i], nil
    if bounds then
      near = search_bound(bounds, member, near)
      bound = bounds[near] or lose()
    else
      bound = find_bound(set, member)
    end
    local page = pages[bound]
    if page then
      page[#page + 1] = member
    else
      pages[bound] = { member }
    end
  end
  return pages
end

-- From so many members on, a page is looked at as a whole.
local MANY = 24

-- Removes a page with all that is in it; the first one has the member that stays, too, and so is never asked for.
local function remove_page(set, bound)
  redis.call('UNLINK', page_name(set, bound))
  redis.call('ZREM', set, bound)
end

-- Removes `members` from their page, all of which have to be there.
local function remove_from(set, bound, members)
  local page = page_name(set, bound)
  if #members >= MANY and redis.call('HLEN', page) == #members then
    -- The first page has the member that stays, too.
    local is_there = {}
    for _, member in ipairs(redis.call('HKEYS', page)) do
      is_there[member] = true
    end
    for i = 1, #members do
      if not is_there[members[i]] then
        lose()
      end
    end
    return remove_page(set, bound)
  end
  if redis.call('HDEL', page, unpack(members)) < #members then
    lose()
  end
  shrink(set, bound, page)
end

-- Removes `members`, all of which have to be there.
local function remove(set, members)
  for bound, some in pairs(by_page(set, members)) do
    remove_from(set, bound, some)
  end
end

-- What stands with each of `members` that is in this page, and perhaps with others; and whether they are all that is in it,
-- which is told of many alone.
local function values_of(set, bound, members)
  local page, values, count = page_name(set, bound), {}, 0
  if #members < MANY then
    local found = redis.call('HMGET', page, unpack(members))
    for i = 1, #members do
      values[members[i]] = found[i] or nil
      count = count + (found[i] and 1 or 0)
    end
    if count == 0 then
      ensure_page(page)
    end
    return values
  end
  local fields = redis.call('HGETALL', page)
  if #fields == 0 then
    lose()
  end
  for i = 1, #fields, 2 do
    values[fields[i]] = fields[i + 1]
  end
  for i = 1, #members do
    count = count + (values[members[i]] and 1 or 0)
  end
  return values, count * 2 == #fields
end

-- Whether a page from `bound` to `following` (nothing: to the end) may become one of `set`: none of what that has is in the
-- way, or behind `bound` and in the page before, which need not be looked at if it is `moved`.
local function has_room_for_page(set, bound, following, moved)
  local behind = redis.call('ZRANGEBYLEX', set, '[' .. bound, '+', 'LIMIT', 0, 1)[1]
  if not is_bytewise or (behind and (not following or behind < following)) then
    return false
  end
  local before = find_bound(set, bound)
  for _, member in ipairs(before == moved and {} or members_of(set, before)) do
    if member >= bound then
      return false
    end
  end
  return true
end

-- Makes a page of another set one of `set`, where there is room for it.
local function move_page(from, bound, set)
  redis.call('RENAME', page_name(from, bound), page_name(set, bound))
  redis.call('ZADD', set, 0, bound)
  redis.call('ZREM', from, bound)
end

-- Those of `members` that are there, by the bounds of their pages, and the others.
local function part_found(set, members)
  local found, others = {}, {}
  for bound, some in pairs(by_page(set, members)) do
    local values, there = values_of(set, bound, some), {}
    for i = 1, #some do
      local into = values[some[i]] and there or others
      into[#into + 1] = some[i]
    end
    found[bound] = #there > 0 and there or nil
  end
  return found, others
end
