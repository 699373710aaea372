-- Shared by all scripts. ARGV[1] is the shard's prefix; every name is built from it, so all of them
-- are in the slot of KEYS[1]. The names are explained in keys.rs. ARGV[2] is the last generation that the
-- caller knows, of 16 zeros if none.
local prefix, known = ARGV[1], ARGV[2]
local control, index, expiry, meta = prefix .. ':by', prefix .. ':ix', prefix .. ':ex', prefix .. ':m'
local tagged, leases, fences = prefix .. ':tx', prefix .. ':lx', prefix .. ':tp'
local generation_name, landed = prefix .. ':g', prefix .. ':pl'
local bookkeeping = { generation_name, control, index, expiry, meta, tagged, leases, fences, landed }

-- Changed where Redis may not have told of a purge: whoever has read it empties its memory.
local untold = prefix .. ':u'

-- What is stored in another generation is void.
local generation
-- Why this script has begun one, and how many entries it made void.
local begun, voided = '', 0

-- Looked at once a script.
local now
local function now_micros()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
  end
  return now
end

local function now_ms()
  return math.floor(now_micros() / 1000)
end

local function add(field, by)
  redis.call('HINCRBY', control, field, by)
end

local function sum(...)
  local result = 0
  local numbers = redis.pcall('HMGET', control, ...)
  for i = 1, #numbers do
    result = result + (tonumber(numbers[i]) or 0)
  end
  return result
end

local function total()
  return sum('b0', 'b1', 'b2', 'l', 'vb')
end

-- All bookkeeping anew. Each structure holds a member that nothing removes, so one that is missing was lost.
local function begin_generation(why)
  local void_bytes = total()
  begun, voided = why, voided + sum('n0', 'n1', 'n2')
  redis.call('UNLINK', unpack(bookkeeping))
  -- Later than any that was known, whatever this server's clock says.
  local before = math.max(tonumber(known, 16), tonumber(generation or '0', 16))
  generation = string.format('%016x', math.max(now_micros(), before + 1))
  redis.call('SET', generation_name, generation)
  redis.call('HSET', control, 'sq', 0, 'vb', void_bytes, 'sw', 0)
  redis.call('HSET', meta, '', '')
  redis.call('ZADD', index, 0, '')
  redis.call('ZADD', tagged, 0, '')
  for _, by_number in ipairs({ expiry, leases, fences, landed }) do
    redis.call('ZADD', by_number, 'inf', '')
  end
end

local function ensure_whole()
  local found = redis.call('EXISTS', unpack(bookkeeping))
  if found < #bookkeeping then
    local is_new = found == 0 and tonumber(known, 16) == 0
    return begin_generation(is_new and 'new' or 'lost')
  end
  generation = redis.call('GET', generation_name)
  if not string.find(generation, '^' .. string.rep('%x', 16) .. '$') then
    generation = nil
    begin_generation('lost')
  elseif generation < known then
    begin_generation('older')
  end
end

-- What a script returns: the generation, why it has begun one ('' if it has not), and what `body` returns.
local function run(body)
  local function attempt()
    ensure_whole()
    return body()
  end
  local function words(failure)
    return type(failure) == 'table' and failure.err or tostring(failure)
  end
  -- What Redis refuses to all would be refused again.
  local function is_refusal(failure)
    for _, word in ipairs({ 'OOM', 'READONLY', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'MASTERDOWN', 'can\'t' }) do
      if string.find(words(failure), word, 1, true) then
        return true
      end
    end
    return false
  end
  local is_done, result = pcall(attempt)
  if not is_done and not is_refusal(result) then
    -- Bookkeeping of another type, or that makes no sense.
    begin_generation('lost')
    is_done, result = pcall(attempt)
  end
  if not is_done then
    return { err = words(result) }
  end
  return { generation, begun, result }
end

-- The bytes under a name that are of this generation, without its mark; whatever else is there goes.
local function read(name)
  local bytes = redis.pcall('GET', name)
  if not bytes then
    return false
  end
  if type(bytes) == 'string' and string.sub(bytes, 1, 16) == generation then
    return string.sub(bytes, 17)
  end
  redis.call('UNLINK', name)
  return false
end

-- Token, name, index and expiry of one lease, as Redis allocates them.
local function lease_cost(key)
  return 496 + 4 * #key
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

-- Undoes all that was written beside an entry. Returns whether that should be there still.
local function forget(key)
  local fields = redis.call('HGET', meta, key)
  if not fields then
    return false
  end
  local expires = tonumber(redis.call('ZSCORE', expiry, key) or 0)
  fields = cmsgpack.unpack(fields)
  for i = 3, #fields do
    redis.call('ZREM', tagged, fields[i] .. '\0' .. key)
  end
  redis.call('HDEL', meta, key)
  redis.call('ZREM', expiry, key)
  add('b' .. fields[2], -fields[1])
  add('n' .. fields[2], -1)
  return expires > now_ms()
end

-- An entry was evicted, and so is no longer watched for anybody: Redis does not tell a connection of what is evicted
-- by a command of its own, nor later of purges of it.
local function tell_of_eviction()
  redis.call('SET', untold, now_micros())
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

-- Whether the process's purge of that number is missing: an older state has come back.
local function lacks(process, last)
  local found = tonumber(redis.call('ZSCORE', landed, process) or 0)
  return found < last and last > tonumber(redis.call('HGET', control, 'lt') or 0)
end

-- A purge of this process has been carried out whole: gives it its number. The one that it knows as its last must be
-- there: the new number could be the same.
local function land(process, last)
  if begun == '' and generation == known and lacks(process, tonumber(last)) then
    begin_generation('older')
  end
  local number = redis.call('HINCRBY', control, 'sq', 1)
  redis.call('ZADD', landed, number, process)
  if redis.call('ZCARD', landed) > 1000 then
    local first = redis.call('ZRANGE', landed, 0, 0, 'WITHSCORES')
    redis.call('ZREM', landed, first[1])
    redis.call('HSET', control, 'lt', first[2])
  end
  return number
end
