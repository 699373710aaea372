-- Entries as the bookkeeping has them. Every key with an entry has a line in the index: the entry's priority, its expiry in
-- ms (6 bytes), the bytes that it takes with its name (4), how coarsely it stands in the order of expiry (1), and its tags.
-- Keys with a lease are in `leases`.
local HEAD = 12

-- A key stands in that order behind the end of a bucket of time in which it expires, in ticks of so many ms: what expires at
-- about the same time is in the order of its keys. So what a purge removes together, stored one by one between others, is
-- mostly in few pages. A bucket is a sixteenth of the time to live at most, or a tick.
local TICK = 256

-- The power of two of ticks that a bucket has.
local function coarseness(ttl)
  local _, exponent = math.frexp(ttl / 16 / TICK)
  return math.max(exponent - 1, 0)
end

local function pack_line(priority, expires, size, coarse, tags)
  return priority .. struct.pack('>I6I4B', expires, size, coarse) .. table.concat(tags, '\0')
end

local function count_tags(line)
  if #line > HEAD and not string.find(line, '\0', HEAD + 1, true) then
    return 1
  end
  local count, from = 0, HEAD + 1
  while from and from <= #line do
    local separator = string.find(line, '\0', from, true)
    count, from = count + 1, separator and separator + 1
  end
  return count
end

local function tags_of(line)
  local tags, from = {}, HEAD + 1
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

-- The end of the bucket, in ticks.
local function bucket_end(expires, coarse)
  local ticks = 2 ^ coarse
  return math.ceil(expires / TICK / ticks) * ticks
end

-- The member of the paged set of its priority, which is in the order in which entries expire. It says no more than the
-- line does, so that it is found again.
local function expiry_member(key, line)
  local expires, _, coarse = struct.unpack('>I6I4B', line, 2)
  return struct.pack('>I5', bucket_end(expires, coarse)) .. key
end

-- When the bucket of such a member ends, in ticks, and its key.
local function read_expiry_member(member)
  return struct.unpack('>I5', member), string.sub(member, 6)
end

-- What a member of a paged set takes: within the page, and of what each page and bound takes.
local function member_cost(length)
  -- A page with a longer one takes the form of a hash table.
  return length + (length > 64 and 70 or 10)
end

-- What the bookkeeping of an entry takes, by estimate (sample.lua). `has_one`: whether it has one tag, if that is known.
local function upkeep(key, line, has_one)
  local cost = member_cost(#key) + member_cost(#key + 5) + 6 + (#line > 64 and #line + 60 or #line)
  if #line <= HEAD then
    return cost
  end
  if has_one or not string.find(line, '\0', HEAD + 1, true) then
    return cost + member_cost(#line - HEAD + 1 + #key)
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

-- Token, name and expiry of one lease, as Redis allocates them.
local function lease_cost(key)
  return 310 + 2 * #key
end

-- The names of the entries or leases of `keys`.
local function names_of(kind, keys)
  local names, beginning = {}, prefix .. kind
  for i = 1, #keys do
    names[i] = beginning .. keys[i]
  end
  return names
end

-- Those of `keys` that have a lease.
local function with_leases(keys)
  local held = {}
  -- But for the member that stays there is none, mostly.
  if #keys > 0 and redis.call('ZCARD', leases) > 1 then
    local scores = redis.call('ZMSCORE', leases, unpack(keys))
    for i = 1, #keys do
      if scores[i] then
        held[#held + 1] = keys[i]
      end
    end
  end
  return held
end

-- Undoes what was written beside leases, all of which are there, or the only one perhaps not.
local function unlist_held(held)
  if #held > 0 and redis.call('ZREM', leases, unpack(held)) == #held then
    for i = 1, #held do
      add('l', -lease_cost(held[i]))
    end
  end
end

-- Undoes what was written beside the leases of `keys`, as far as there are any.
local function unlist(keys)
  unlist_held(#keys == 1 and keys or with_leases(keys))
end

-- Takes back the leases of `keys`.
local function unlease(keys)
  local held = with_leases(keys)
  if #held > 0 then
    redis.call('UNLINK', unpack(names_of(':l:', held)))
    unlist_held(held)
  end
end

-- Leases that one call looks at.
local LEASES_AT_A_TIME = 500

-- Keys that have a lease and begin with `beginning`, from a moment at which leases end on ('-inf' to begin with), and the one to
-- go on with; nothing: that was all. What has a lease all the while is among them, whatever else comes and goes.
local function leased_from(ending, beginning)
  local found, keys, following = {}, {}, nil
  found = redis.call('ZRANGEBYSCORE', leases, ending, '+inf', 'WITHSCORES', 'LIMIT', 0, LEASES_AT_A_TIME)
  local last = #found == 2 * LEASES_AT_A_TIME and found[#found]
  if last and last == found[2] then
    found = redis.call('ZRANGEBYSCORE', leases, last, last, 'WITHSCORES')
    last, following = nil, '(' .. last
  end
  for i = 1, #found, 2 do
    local key = found[i]
    if key ~= '' and found[i + 1] ~= last and string.sub(key, 1, #beginning) == beginning then
      keys[#keys + 1] = key
    end
  end
  return keys, following or last or nil
end

-- Entries and tags that one call takes out at most: what an entry has of them is not bounded by its key.
local MOST_WORK = 500

-- Takes the lines of keys out of the index, by `pages` (pages.lua), as long as these entries and their tags are no more than
-- `most`; of one entry whatever it has. Returns them, by key, how many tags and entries they have, and the keys that are left.
local function take_lines(pages, most)
  local lines, work, left = {}, 0, {}
  for bound, some in pairs(pages) do
    local found, is_all, gone = {}, false, {}
    if work < most then
      found, is_all = values_of(index, bound, some)
    end
    local count = 0
    for i = 1, #some do
      local key = some[i]
      local line = found[key]
      local more = line and 1 + count_tags(line) or 0
      if work >= most or (work > 0 and work + more > most) then
        left[#left + 1], is_all = key, false
      elseif line then
        lines[key], work, count = line, work + more, count + 1
        gone[count] = key
      end
    end
    if is_all then
      remove_page(index, bound)
    elseif #gone > 0 then
      remove_from(index, bound, gone)
    end
  end
  return lines, work, left
end

-- Where a purge takes pages of one tag as a whole, the lines of these entries are taken out later (`tidy`). Until then the
-- members of those pages are in `purged` instead of `tagged`; with the line of a key, whoever takes that out, they go.

-- The key of a member of both.
local function key_behind_tag(member)
  return string.sub(member, string.find(member, '\0', 1, true) + 1)
end

-- Of `members`, which are of one of the two each, those of `purged`, by page, the others, and the keys of the first, as
-- fields.
local function part_purged(members)
  if counter('px') == 0 then
    return {}, members, {}
  end
  local found, others = part_found(purged, members)
  local keys = {}
  for _, some in pairs(found) do
    for i = 1, #some do
      keys[key_behind_tag(some[i])] = true
    end
  end
  return found, others, keys
end

-- Undoes all that was written beside the entries whose lines were taken; but for the tag `untagged`, of which that is
-- done. Returns how many these are, and how many of them should be there still.
local function unlist_lines(lines, untagged)
  local tags, count, alive, now_is = {}, 0, 0, now_ms()
  local by_expiry = { ['0'] = {}, ['1'] = {}, ['2'] = {} }
  local bytes, entries = { ['0'] = 0, ['1'] = 0, ['2'] = 0 }, { ['0'] = 0, ['1'] = 0, ['2'] = 0 }
  local kept_up, length, ends = 0, untagged and HEAD + #untagged, {}
  for key, line in pairs(lines) do
    local priority, expires, size, coarse = struct.unpack('>c1I6I4B', line)
    local ending, nth = bucket_end(expires, coarse), entries[priority] + 1
    local packed = ends[ending]
    if not packed then
      packed = struct.pack('>I5', ending)
      ends[ending] = packed
    end
    by_expiry[priority][nth] = packed .. key
    bytes[priority], entries[priority] = bytes[priority] + size, nth
    -- Of one that has this tag, by the length of the line there is none beside it.
    local has_one = #line == length
    kept_up = kept_up + upkeep(key, line, has_one)
    if #line > HEAD and not has_one then
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
  local in_purged, in_tagged, are_purged = part_purged(tags)
  remove(tagged, in_tagged)
  for bound, some in pairs(in_purged) do
    remove_from(purged, bound, some)
    add('px', -#some)
  end
  for key in pairs(are_purged) do
    alive = alive - (expires_of(lines[key]) > now_is and 1 or 0)
  end
  return count, alive
end

-- Undoes all that was written beside the entries of `keys`, each of which is there once, as long as these entries and their
-- tags are no more than `most`. Returns how many had an entry, how many of these should be there still, the tags and entries
-- that was, and the keys that are left.
local function forget(keys, most)
  local lines, work, left = take_lines(by_page(index, keys), most)
  local count, alive = unlist_lines(lines)
  return count, alive, work, left
end

-- `keys` but for those that are `left`.
local function without(keys, left)
  if #left == 0 then
    return keys
  end
  local is_left, others = {}, {}
  for i = 1, #left do
    is_left[left[i]] = true
  end
  for i = 1, #keys do
    if not is_left[keys[i]] then
      others[#others + 1] = keys[i]
    end
  end
  return others
end

-- An entry was evicted, and so is no longer watched for anybody: Redis does not tell a connection of what is evicted
-- by a command of its own, nor later of purges of it.
local function tell_of_eviction()
  redis.call('SET', untold, now_micros())
end

-- The members of a page of an order of expiry: when the bucket of each ends, and its key; in that order.
local function members_by_end(set, bound)
  local found = {}
  for _, member in ipairs(members_of(set, bound)) do
    if member ~= '' then
      found[#found + 1] = { read_expiry_member(member) }
    end
  end
  table.sort(found, function(one, other)
    return one[1] < other[1]
  end)
  return found
end

-- The same of the first page that has any, and the bound of the one behind it.
local function first_by_end(set)
  local bound, found = '', {}
  while bound and #found == 0 do
    found = members_by_end(set, bound)
    bound = next_bound(set, bound)
  end
  return found, bound
end

-- The keys of a priority that have expired, in order: of one page, and at most `limit`. Also whether there may be more.
local function find_expired(priority, limit)
  local found, following = first_by_end(expiry[priority])
  local now_is, keys = now_ms() / TICK, {}
  for i = 1, math.min(limit, #found) do
    if found[i][1] > now_is then
      return keys, false
    end
    keys[i] = found[i][2]
  end
  return keys, #found > limit or following ~= nil
end

-- The keys of a priority that expire first, in order: of one page, at most `limit`. Where all of a page are in one bucket it
-- is any page of that: it must not be the keys that decide.
local function find_first(priority, limit)
  local set, keys = expiry[priority], {}
  local found = first_by_end(set)
  local first = #found > 0 and found[1][1]
  if first and found[#found][1] == first then
    -- A bound of the index, since as many keys are behind each.
    local from = struct.pack('>I5', first) .. redis.call('ZRANDMEMBER', index)
    local others = members_by_end(set, find_bound(set, from))
    if #others > 0 and others[1][1] == first then
      found = others
    end
  end
  for i = 1, math.min(limit, #found) do
    keys[i] = found[i][2]
  end
  return keys
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
        local _, key = read_expiry_member(fields[i])
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

-- Some keys of a page of `purged`.
local function find_purged(limit)
  local bounds = redis.call('ZRANGE', purged, 0, 1)
  -- The first page has the member that stays, and mostly no other.
  local members = members_of(purged, bounds[1])
  if #members == 1 and bounds[2] then
    members = members_of(purged, bounds[2])
  end
  local keys, is_known = {}, {}
  for i = 1, #members do
    local key = members[i] ~= '' and key_behind_tag(members[i])
    if key and not is_known[key] and #keys < limit then
      keys[#keys + 1], is_known[key] = key, true
    end
  end
  return #keys > 0 and keys or lose()
end

-- Takes out `keys`, each of which has a line, as far as their entries and tags are no more than `most`. Returns how many
-- that were, the tags and entries, and whether any are left.
local function clear_out(keys, most)
  local count, _, work, left = forget(keys, most)
  if count + #left < #keys then
    lose()
  end
  redis.call('UNLINK', unpack(names_of(':e:', without(keys, left))))
  return count, work, #left > 0
end

-- Bookkeeping of what Redis has expired by itself and of what was purged, at most about `limit` of each kind. Returns whether
-- there is more.
local function tidy(limit)
  local is_more, work, most = false, 0, math.min(10 * limit, MOST_WORK)
  for priority = 0, 2 do
    local left, has_more = limit, true
    while has_more and left > 0 and work < most do
      local keys
      keys, has_more = find_expired(tostring(priority), left)
      if #keys > 0 then
        local count, done, is_left = clear_out(keys, most - work)
        left, work, has_more = left - count, work + done, has_more or is_left
      end
    end
    is_more = is_more or has_more
  end
  local left = limit
  while counter('px') > 0 and left > 0 and work < most do
    local count, done = clear_out(find_purged(left), most - work)
    left, work = left - count, work + done
  end
  is_more = is_more or counter('px') > 0
  local ended = redis.call('ZRANGEBYSCORE', leases, '-inf', now_ms(), 'LIMIT', 0, limit)
  if #ended > 0 then
    unlease(ended)
  end
  is_more = is_more or #ended == limit
  -- Stores look again then.
  note('tn', is_more and 0 or now_ms() + 200)
  return is_more
end
