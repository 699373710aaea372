-- KEYS: the entries of some keys; in a cluster their leases, too. ARGV: prefix, generation, budget, where eviction begins, shards, the most
-- tags that an entry may have, and for each of them key, token, purge number at the lease, ttl in ms, size, priority, '1' if no
-- room is to be made for it any more, '2' if the server is full, so that a stub is all that may be written, size of a stub (0: none is wanted), the generation of the lease and the bytes, the number
-- of tags, tags.
-- Returns for each 0 lease lost, 1 stored, 2 no room, 3 purged by tag since the lease, 4 a stub is stored: what memory
-- holds beside it is told of purges, 5 room is to be made (evict.lua), or 6 too many tags; and the bytes that are needed.
local max, evict_at, shards, most_tags = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST, EACH = 7, 10

-- What is to be stored, one by one.
local function read_items()
  local items, at = {}, FIRST
  while at <= #ARGV do
    local key, behind = ARGV[at], at + EACH + tonumber(ARGV[at + EACH - 1])
    items[#items + 1] = {
      entry = prefix .. ':e:' .. key, lease = prefix .. ':l:' .. key, key = key, token = ARGV[at + 1],
      purges = tonumber(ARGV[at + 2]), ttl = tonumber(ARGV[at + 3]), size = tonumber(ARGV[at + 4]),
      priority = ARGV[at + 5], is_last = ARGV[at + 6] ~= '0', is_stub = ARGV[at + 6] == '2', stub = tonumber(ARGV[at + 7]),
      bytes = ARGV[at + 8], first_tag = at + EACH, last_tag = behind - 1,
    }
    at = behind
  end
  return items
end

-- The tokens under which leases stand, each behind the generation.
local function find_holders(items)
  local names = {}
  for i = 1, #items do
    names[i] = items[i].lease
  end
  return redis.call('MGET', unpack(names))
end

-- A fill has no tags while it runs, so a purge by tag cannot find its lease; it leaves its number.
local function purged_by_tag(item)
  if item.last_tag < item.first_tag then
    return false
  end
  if counter('fl') > item.purges then
    return true
  end
  for i = item.first_tag, item.last_tag do
    if tonumber(redis.call('ZSCORE', fences, ARGV[i]) or 0) > item.purges then
      return true
    end
  end
  return false
end

-- The tags of the entry that is there and those of the variant, each once; and whether the first have them all.
local function join_tags(item, held)
  local tags, known_tags, has_all = {}, {}, true
  for _, tag in ipairs(held) do
    tags[#tags + 1], known_tags[tag] = tag, true
  end
  for i = item.first_tag, item.last_tag do
    local tag = ARGV[i]
    if not known_tags[tag] and tag ~= '' then
      tags[#tags + 1], known_tags[tag], has_all = tag, true, false
    end
  end
  return tags, has_all
end

-- Writes what stands beside the entry, and takes out what stood beside the one before.
local function list(item, before, line, tags, bound)
  local key, priority = item.key, item.priority
  local member, hits = expiry_member(key, line), 1
  local gone, is_known = {}, {}
  if before then
    local former, former_member = string.sub(before, 1, 1), expiry_member(key, before)
    local worth, former_bound = value_of(expiry[former], former_member)
    hits = unpack_worth(worth or lose()) + 1
    if former_member ~= member or former ~= priority then
      remove_from(expiry[former], former_bound, { former_member })
    end
    for _, tag in ipairs(tags_of(before)) do
      is_known[tag] = true
    end
    add('b' .. former, -size_of(before))
    add('n' .. former, -1)
    add('k', -upkeep(key, before))
  end
  insert(expiry[priority], member, pack_worth(priority, key, line, hits))
  for _, tag in ipairs(tags) do
    if not is_known[tag] then
      insert(tagged, tag .. '\0' .. key, '')
    end
    is_known[tag] = nil
  end
  for tag in pairs(is_known) do
    gone[#gone + 1] = tag .. '\0' .. key
  end
  remove(tagged, gone)
  insert(index, key, line, bound)
  add('b' .. priority, size_of(line))
  add('n' .. priority, 1)
  add('k', upkeep(key, line))
end

-- Stores one whose lease stands. Returns what has become of it, and the bytes that are needed if room is to be made, for
-- which the lease stays.
local function store(item)
  local key, ttl, size, bytes = item.key, item.ttl, item.size, item.bytes
  if purged_by_tag(item) then
    return 3
  end
  -- That the page is there is seen when the line is written (pages.lua).
  local bound = find_bound(index, key)
  local before = redis.call('HGET', page_name(index, bound), key)
  local lasting = before and redis.call('PTTL', item.entry)
  if lasting == -2 then
    -- It has expired or was evicted, or it was purged with a page of its tag and its line is not taken out yet.
    local _, alive = forget({ key }, MOST_WORK)
    if alive > 0 then
      tell_of_eviction()
    end
    before, bound = false, find_bound(index, key)
  end
  local old = before and size_of(before) + upkeep(key, before) or 0
  -- Beside a stub memory may hold variants that this one knows nothing of: what is stored stands for them too.
  local tags, is_listed = join_tags(item, {}), false
  if before and redis.pcall('STRLEN', item.entry) == #generation then
    tags, is_listed = join_tags(item, tags_of(before))
    -- Its end is told of, too, so it may come a little early.
    is_listed = is_listed and 2 * lasting >= ttl
    ttl = math.max(ttl, lasting)
  end
  local coarse, stored = coarseness(ttl), 1
  local line = pack_line(item.priority, now_ms() + ttl, size, coarse, tags)
  local most_now = counter('sl') > 0 and math.min(counter('sl'), max) or max
  if counter('sb') == 0 or math.abs(total() - counter('sb')) > most_now / 32 then
    look_at_server(max, evict_at, shards)
  end
  local at, most = thresholds(max, evict_at)
  local grows = size + upkeep(key, line) - old
  -- Those of a stub have joined.
  if #tags > most_tags then
    return 6
  end
  if item.is_stub or total() + grows > (item.is_last and most or at) then
    if not item.is_last then
      return 5, grows
    end
    -- The lease goes.
    local left = total() - lease_cost(key)
    if item.stub == 0 or left + grows - size + item.stub > (item.is_stub and least(max) or max) then
      return 2
    end
    -- One that is written anew looks like a purge to whoever holds the entry beside it.
    if is_listed then
      return 4
    end
    stored, bytes = 4, generation
    line = pack_line(item.priority, now_ms() + ttl, item.stub, coarse, tags)
  end

  redis.call('SET', item.entry, bytes, 'PX', ttl)
  list(item, before, line, tags, bound)
  return stored
end

return run(function()
  local items = read_items()
  -- More than is ever between is of a clock that was set back.
  local due = counter('tn')
  if due <= now_ms() or due > now_ms() + 200 then
    tidy(math.min(16 * #items, 120))
  end
  local holders, results, written, ended_keys, ended = find_holders(items), {}, {}, {}, {}
  for i = 1, #items do
    local item, result, need = items[i], 0, 0
    if holders[i] == generation .. item.token then
      result, need = store(item)
      if result ~= 5 then
        ended_keys[#ended_keys + 1], ended[#ended + 1] = item.key, item.lease
      end
      if result == 1 or result == 4 then
        written[#written + 1] = item.entry
      end
    end
    results[i] = { result, need or 0 }
  end
  if #written > 0 then
    -- A read, so that client tracking remembers the entries for this connection.
    redis.call('EXISTS', unpack(written))
  end
  if #ended > 0 then
    unlist(ended_keys)
    -- The leases go last. With any read of a script Redis may track all of its KEYS for the connection, in a cluster the leases
    -- too: a read after this would leave a lease tracked, and whoever takes it next would look like a purge.
    redis.call('UNLINK', unpack(ended))
  end
  return results
end)
