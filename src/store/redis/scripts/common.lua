-- Shared by all scripts. ARGV[1] is the shard's prefix; every name is built from it, so all of them
-- are in the slot of KEYS[1]. The names are explained in keys.rs.
local prefix = ARGV[1]
local control, index, expiry, meta = prefix .. ':by', prefix .. ':ix', prefix .. ':ex', prefix .. ':m'
local tagged, leases, fences = prefix .. ':tx', prefix .. ':lx', prefix .. ':tp'

-- Looked at once a script.
local now
local function now_ms()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

-- A counter that was lost (an eviction, a flush) must not go below zero for ever.
local function add(field, by)
  if redis.call('HINCRBY', control, field, by) < 0 then
    redis.call('HSET', control, field, 0)
  end
end

local function total()
  local sum = 0
  for _, field in ipairs(redis.call('HMGET', control, 'b0', 'b1', 'b2', 'l')) do
    sum = sum + (tonumber(field) or 0)
  end
  return sum
end

-- Token, name, index and expiry of one lease, as Redis allocates them.
local function lease_cost(key)
  return 480 + 4 * #key
end

-- Undoes what was written beside a lease.
local function unlist(key)
  if redis.call('ZREM', leases, key) == 1 then
    add('l', -lease_cost(key))
  end
end

local function unlease(key)
  redis.call('UNLINK', prefix .. ':l:' .. key)
  unlist(key)
end

-- Undoes all that was written beside an entry.
local function forget(key)
  local known = redis.call('HGET', meta, key)
  if not known then
    return
  end
  local fields = cmsgpack.unpack(known)
  for i = 3, #fields do
    redis.call('ZREM', tagged, fields[i] .. '\0' .. key)
  end
  redis.call('HDEL', meta, key)
  redis.call('ZREM', expiry, key)
  add('b' .. fields[2], -fields[1])
  add('n' .. fields[2], -1)
end

-- The index holds what has an entry or a lease.
local function settle(key)
  if redis.call('HEXISTS', meta, key) == 0 and not redis.call('ZSCORE', leases, key) then
    redis.call('ZREM', index, key)
  end
end

-- Bookkeeping of what Redis has expired by itself, at most `limit` of each kind.
local function tidy(limit)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now_ms(), 'LIMIT', 0, limit)) do
    redis.call('ZREM', expiry, key)
    forget(key)
    settle(key)
  end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now_ms(), 'LIMIT', 0, limit)) do
    unlease(key)
    settle(key)
  end
end
