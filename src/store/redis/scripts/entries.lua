-- Entries as the bookkeeping has them. Every key with an entry or a lease has a line in the index: empty for a lease
-- alone; else the entry's priority, its expiry in ms (6 bytes), the bytes that it takes with its name (4), and its tags.

local function pack_line(priority, expires, size, tags)
  return priority .. struct.pack('>I6I4', expires, size) .. table.concat(tags, '\0')
end

local function tags_of(line)
  local tags, from = {}, 12
  while from <= #line do
    local behind = string.find(line, '\0', from, true) or #line + 1
    tags[#tags + 1] = string.sub(line, from, behind - 1)
    from = behind + 1
  end
  return tags
end

local function expires_of(line)
  return (struct.unpack('>I6', line, 2))
end

local function size_of(line)
  return (struct.unpack('>I4', line, 8))
end

-- The member of the paged set of its priority, which is in the order in which entries expire.
local function expiry_member(key, line)
  return string.sub(line, 2, 7) .. key
end

-- What a member of a paged set takes: within the page, and of what each page and bound takes.
local function member_cost(length)
  -- A page with a longer one takes the form of a hash table.
  return length + (length > 64 and 70 or 10)
end

-- What the bookkeeping of an entry takes, by estimate (sample.lua).
local function upkeep(key, line)
  local cost = member_cost(#key) + member_cost(#key + 6) + 6 + (#line > 64 and #line + 60 or #line)
  if #line < 12 then
    return cost
  end
  if not string.find(line, '\0', 12, true) then
    return cost + member_cost(#line - 11 + 1 + #key)
  end
  for _, tag in ipairs(tags_of(line)) do
    cost = cost + member_cost(#tag + 1 + #key)
  end
  return cost
end

-- What an entry is worth beside the others of its priority stands with its member there: how often it was asked for, the
-- time that it was stored for included, and its rank: so many hits for each 1,000 bytes that it takes, on top of the rank
-- of what has left last (GreedyDual-Size-Frequency), so that what was hit long ago leaves in the end.
local function pack_worth(priority, key, line, hits)
  hits = math.min(hits, 65535)
  local rank = counter('a' .. priority) + hits * 1000 / (size_of(line) + upkeep(key, line))
  return struct.pack('>I2f', hits, rank)
end

local function unpack_worth(worth)
  if #worth ~= 6 then
    return 1, 0
  end
  return struct.unpack('>I2f', worth)
end

-- Token, name, index and expiry of one lease, as Redis allocates them.
local function lease_cost(key)
  return 320 + 3 * #key
end

-- Undoes what was written beside leases.
local function unlist(keys)
  for i = 1, #keys do
    if redis.call('ZREM', leases, keys[i]) == 1 then
      add('l', -lease_cost(keys[i]))
    end
  end
end

-- The names of the entries or leases of `keys`.
local function names_of(kind, keys)
  local names = {}
  for i = 1, #keys do
    names[i] = prefix .. kind .. keys[i]
  end
  return names
end

-- Those of `keys` that have a lease.
local function with_leases(keys)
  local held = {}
  -- But for the member that stays there is none, mostly.
  if redis.call('ZCARD', leases) > 1 then
    local scores = redis.call('ZMSCORE', leases, unpack(keys))
    for i = 1, #keys do
      if scores[i] then
        held[#held + 1] = keys[i]
      end
    end
  end
  return held
end

local function unlease(keys)
  local held = with_leases(keys)
  if #held > 0 then
    redis.call('UNLINK', unpack(names_of(':l:', held)))
    unlist(held)
  end
end

-- What the index has of a key that has no lease any more, and perhaps no entry.
local function settle(key)
  if value_of(index, key) == '' then
    remove(index, { key })
  end
end

-- Takes the lines of `keys` out of the index, and returns those of entries. What has a lease keeps an empty one.
local function take_lines(keys)
  local lines, is_held = {}, {}
  for _, key in ipairs(with_leases(keys)) do
    is_held[key] = true
  end
  for bound, some in pairs(by_page(index, keys)) do
    local found, is_all = values_of(index, bound, some)
    local gone, kept = {}, {}
    for i = 1, #some do
      local key = some[i]
      local line = found[key]
      if line and line ~= '' then
        lines[key] = line
      end
      if line and not is_held[key] then
        gone[#gone + 1] = key
      elseif line then
        kept[#kept + 1], kept[#kept + 2] = key, ''
      end
    end
    if #kept > 0 then
      redis.call('HSET', page_name(index, bound), unpack(kept))
    end
    if is_all and #kept == 0 then
      remove_page(index, bound)
    elseif #gone > 0 then
      remove_from(index, bound, gone)
    end
  end
  return lines
end

-- Undoes all that was written beside the entries of `keys`, each of which is there once; but for the tag `untagged`, of
-- which that is done. Returns how many had an entry, and how many of these should be there still.
local function forget(keys, untagged)
  local lines, tags, count, alive, now_is = take_lines(keys), {}, 0, 0, now_ms()
  local by_expiry = { ['0'] = {}, ['1'] = {}, ['2'] = {} }
  local bytes, entries = { ['0'] = 0, ['1'] = 0, ['2'] = 0 }, { ['0'] = 0, ['1'] = 0, ['2'] = 0 }
  local kept_up = 0
  for key, line in pairs(lines) do
    local priority = string.sub(line, 1, 1)
    local members = by_expiry[priority]
    members[#members + 1] = expiry_member(key, line)
    local expires, size = struct.unpack('>I6I4', line, 2)
    bytes[priority], entries[priority] = bytes[priority] + size, entries[priority] + 1
    kept_up = kept_up + upkeep(key, line)
    if #line >= 12 and (not untagged or string.sub(line, 12) ~= untagged) then
      for _, tag in ipairs(tags_of(line)) do
        if tag ~= untagged then
          tags[#tags + 1] = tag .. '\0' .. key
        end
      end
    end
    count = count + 1
    alive = alive + (expires > now_is and 1 or 0)
  end
  for priority, members in pairs(by_expiry) do
    if #members > 0 then
      remove(expiry[priority], members)
      add('b' .. priority, -bytes[priority])
      add('n' .. priority, -entries[priority])
    end
  end
  add('k', -kept_up)
  remove(tagged, tags)
  return count, alive
end

-- An entry was evicted, and so is no longer watched for anybody: Redis does not tell a connection of what is evicted
-- by a command of its own, nor later of purges of it.
local function tell_of_eviction()
  redis.call('SET', untold, now_micros())
end

-- The keys of a priority that expire first, in order: of one page, at most `limit`, and none after `until_ms`. Also
-- whether there may be more.
local function find_first(priority, until_ms, limit)
  local set, bound, found, has_any = expiry[priority], '', {}, false
  while bound and not has_any do
    for _, member in ipairs(members_of(set, bound)) do
      if member ~= '' then
        has_any = true
        local expires = struct.unpack('>I6', member)
        if expires <= until_ms then
          found[#found + 1] = { expires, string.sub(member, 7) }
        end
      end
    end
    bound = next_bound(set, bound)
  end
  local is_more = #found > limit or (#found > 0 and bound ~= nil)
  table.sort(found, function(one, other)
    return one[1] < other[1]
  end)
  local keys = {}
  for i = 1, math.min(limit, #found) do
    keys[i] = found[i][2]
  end
  return keys, is_more
end

-- The keys of a priority that are worth least among those of some pages, which are as good as all; at most a sixth of
-- them, unless there are no other pages, and the rank of each.
local SAMPLED_PAGES = 6
local function find_least_worth(priority, limit)
  local set, found, ranks = expiry[priority], {}, {}
  for _, bound in ipairs(redis.call('ZRANDMEMBER', set, SAMPLED_PAGES)) do
    local fields = redis.call('HGETALL', page_name(set, bound))
    if #fields == 0 then
      lose()
    end
    for i = 1, #fields, 2 do
      if fields[i] ~= '' then
        local key = string.sub(fields[i], 7)
        local _, rank = unpack_worth(fields[i + 1])
        found[#found + 1], ranks[key] = key, rank
      end
    end
  end
  table.sort(found, function(one, other)
    return ranks[one] < ranks[other]
  end)
  local most = redis.call('ZCARD', set) <= SAMPLED_PAGES and limit or math.min(limit, math.ceil(#found / 6))
  local keys = {}
  for i = 1, math.min(most, #found) do
    keys[i] = found[i]
  end
  return keys, ranks
end

-- Bookkeeping of what Redis has expired by itself, at most about `limit` of each kind. Returns whether there is more.
local function tidy(limit)
  local is_more = false
  for priority = 0, 2 do
    local left = limit
    repeat
      local keys, has_more = find_first(tostring(priority), now_ms(), left)
      if #keys > 0 then
        redis.call('UNLINK', unpack(names_of(':e:', keys)))
        if forget(keys) < #keys then
          lose()
        end
      end
      left = left - #keys
      is_more = is_more or (has_more and left <= 0)
    until #keys == 0 or left <= 0 or not has_more
  end
  local ended = redis.call('ZRANGEBYSCORE', leases, '-inf', now_ms(), 'LIMIT', 0, limit)
  if #ended > 0 then
    unlease(ended)
    for _, key in ipairs(ended) do
      settle(key)
    end
  end
  is_more = is_more or #ended == limit
  -- Stores look again then.
  note('tn', is_more and 0 or now_ms() + 200)
  return is_more
end
