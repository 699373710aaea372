-- KEYS: entry, lease. ARGV: prefix, generation, key, token, purge number at the lease, ttl in ms, size, priority,
-- budget, size of a stub (0: none is wanted), the generation of the lease and the bytes, tags.
-- Returns 0 lease lost, 1 stored, 2 no room, 3 purged by tag since the lease, 4 a stub is stored: what memory
-- holds beside it is told of purges.
local key, token, purges, ttl = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local size, priority, max = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local stub, bytes = tonumber(ARGV[10]), ARGV[11]

-- A fill has no tags while it runs, so a purge by tag cannot find its lease; it leaves its number.
local function purged_by_tag()
  if #ARGV == 11 then
    return false
  end
  if tonumber(redis.call('HGET', control, 'fl') or 0) > purges then
    return true
  end
  for i = 12, #ARGV do
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
  return result
end

-- The tags of `fields` and those of the variant, each once; and whether the first have them all.
local function join_tags(fields)
  local tags, known, has_all = {}, {}, true
  for i = 3, #fields do
    tags[#tags + 1], known[fields[i]] = fields[i], true
  end
  for i = 12, #ARGV do
    if not known[ARGV[i]] then
      tags[#tags + 1], has_all = ARGV[i], false
    end
  end
  return tags, has_all
end

return run(function()
  if read(KEYS[2]) ~= token then
    return 0
  end
  tidy(20)
  local before = redis.call('HGET', meta, key)
  local fields = before and cmsgpack.unpack(before) or { 0 }
  local old = fields[1]
  unlist(key)
  if purged_by_tag() then
    settle(key)
    return ended(3)
  end
  -- Beside a stub memory may hold variants that this one knows nothing of: what is stored stands for them too.
  local tags, lasting, is_listed = join_tags({}), redis.call('PTTL', KEYS[1]), false
  if before and redis.pcall('STRLEN', KEYS[1]) == #generation then
    tags, is_listed = join_tags(fields)
    -- Its end is told of, too, so it may come a little early.
    is_listed = is_listed and 2 * lasting >= ttl
    ttl = math.max(ttl, lasting)
    if #tags > 1000 then
      settle(key)
      return ended(2)
    end
  end
  local stored = 1
  -- The rest is for leases and stubs.
  if total() - old + size > max - math.floor(max / 16) then
    if stub == 0 or total() - old + stub > max then
      settle(key)
      return ended(2)
    end
    -- One that is written anew looks like a purge to whoever holds the entry beside it.
    if is_listed then
      return ended(4)
    end
    stored, size, bytes = 4, stub, generation
  end

  if before and forget(key) and lasting == -2 then
    tell_of_eviction()
  end
  redis.call('SET', KEYS[1], bytes, 'PX', ttl)
  redis.call('ZADD', index, 0, key)
  redis.call('ZADD', expiry, now_ms() + ttl, key)
  fields = { size, priority }
  for _, tag in ipairs(tags) do
    redis.call('ZADD', tagged, 0, tag .. '\0' .. key)
    fields[#fields + 1] = tag
  end
  redis.call('HSET', meta, key, cmsgpack.pack(fields))
  add('b' .. priority, size)
  add('n' .. priority, 1)
  -- A read, so that client tracking remembers the entry for this connection.
  redis.call('EXISTS', KEYS[1])
  return ended(stored)
end)
