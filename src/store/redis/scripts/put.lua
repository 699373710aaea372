-- KEYS: entry, lease. ARGV: prefix, generation, key, token, purge number at the lease, ttl in ms, size, priority,
-- budget, where eviction begins, shards, '1' if no room is to be made for it any more, size of a stub (0: none is wanted),
-- the most tags that an entry may have, the generation of the lease and the bytes, tags.
-- Returns 0 lease lost, 1 stored, 2 no room, 3 purged by tag since the lease, 4 a stub is stored: what memory
-- holds beside it is told of purges, 5 room is to be made (evict.lua), and the bytes that are needed, 6 too many tags.
local key, token, purges, ttl = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local size, priority, max, evict_at = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local shards, is_last, stub, most_tags = tonumber(ARGV[11]), ARGV[12] == '1', tonumber(ARGV[13]), tonumber(ARGV[14])
local bytes = ARGV[15]
local FIRST_TAG = 16

-- A fill has no tags while it runs, so a purge by tag cannot find its lease; it leaves its number.
local function purged_by_tag()
  if #ARGV < FIRST_TAG then
    return false
  end
  if tonumber(redis.call('HGET', control, 'fl') or 0) > purges then
    return true
  end
  for i = FIRST_TAG, #ARGV do
    if tonumber(redis.call('ZSCORE', fences, ARGV[i]) or 0) > purges then
      return true
    end
  end
  return false
end

-- The lease goes last. With any read of a script Redis tracks all of its KEYS for the connection: a
-- read after this would leave the lease tracked, and whoever takes it next would look like a purge.
local function ended(result)
  redis.call('UNLINK', KEYS[2])
  return { result, 0 }
end

-- The tags of the entry that is there and those of the variant, each once; and whether the first have them all.
local function join_tags(held)
  local tags, known_tags, has_all = {}, {}, true
  for _, tag in ipairs(held) do
    tags[#tags + 1], known_tags[tag] = tag, true
  end
  for i = FIRST_TAG, #ARGV do
    local tag = ARGV[i]
    if not known_tags[tag] and tag ~= '' then
      tags[#tags + 1], known_tags[tag], has_all = tag, true, false
    end
  end
  return tags, has_all
end

-- Writes what stands beside the entry, and takes out what stood beside the one before.
local function list(before, line, tags, bound)
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
  add('b' .. priority, size)
  add('n' .. priority, 1)
  add('k', upkeep(key, line))
end

return run(function()
  if read(KEYS[2]) ~= token then
    return { 0, 0 }
  end
  if counter('tn') <= now_ms() then
    tidy(16)
  end
  local before, bound = value_of(index, key)
  before = before ~= '' and before
  local old = before and size_of(before) + upkeep(key, before) or 0
  if purged_by_tag() then
    unlist({ key })
    settle(key)
    return ended(3)
  end
  -- Beside a stub memory may hold variants that this one knows nothing of: what is stored stands for them too.
  local tags, lasting, is_listed = join_tags({}), -2, false
  if before then
    lasting = redis.call('PTTL', KEYS[1])
    if redis.pcall('STRLEN', KEYS[1]) == #generation then
      tags, is_listed = join_tags(tags_of(before))
      -- Its end is told of, too, so it may come a little early.
      is_listed = is_listed and 2 * lasting >= ttl
      ttl = math.max(ttl, lasting)
    end
  end
  local coarse = coarseness(ttl)
  local line = pack_line(priority, now_ms() + ttl, size, coarse, tags)
  local most_now = counter('sl') > 0 and math.min(counter('sl'), max) or max
  if counter('sb') == 0 or math.abs(total() - counter('sb')) > most_now / 32 then
    look_at_server(max, evict_at, shards)
  end
  local at, most = thresholds(max, evict_at)
  local grows = size + upkeep(key, line) - old
  local stored = 1
  -- Those of a stub have joined.
  if #tags > most_tags then
    unlist({ key })
    settle(key)
    return ended(6)
  end
  if total() + grows > (is_last and most or at) then
    if not is_last then
      return { 5, grows }
    end
    unlist({ key })
    local fits = stub > 0 and total() + grows - size + stub <= max
    if not fits then
      settle(key)
      return ended(2)
    end
    -- One that is written anew looks like a purge to whoever holds the entry beside it.
    if is_listed then
      return ended(4)
    end
    stored, size, bytes = 4, stub, generation
    line = pack_line(priority, now_ms() + ttl, size, coarse, tags)
  else
    unlist({ key })
  end

  if before and lasting == -2 and expires_of(before) > now_ms() then
    tell_of_eviction()
  end
  redis.call('SET', KEYS[1], bytes, 'PX', ttl)
  list(before, line, tags, bound)
  -- A read, so that client tracking remembers the entry for this connection.
  redis.call('EXISTS', KEYS[1])
  return ended(stored)
end)
