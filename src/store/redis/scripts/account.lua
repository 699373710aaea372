-- The account: read once a script, and written at its end.
local counters, changes = nil, {}

local function counter(field)
  if not counters then
    counters = {}
    local found = redis.pcall('HGETALL', control)
    for i = 1, #found, 2 do
      counters[found[i]] = tonumber(found[i + 1])
    end
  end
  return counters[field] or 0
end

local function add(field, by)
  local sum = counter(field) + by
  counters[field] = sum
  changes[field] = sum
end

-- Of what nothing is added to.
local function note(field, value)
  if counters then
    counters[field] = tonumber(value)
  end
  redis.call('HSET', control, field, value)
end

local function write_account()
  local pairs_of_all = {}
  for field, sum in pairs(changes) do
    pairs_of_all[#pairs_of_all + 1] = field
    pairs_of_all[#pairs_of_all + 1] = string.format('%.0f', sum)
  end
  if #pairs_of_all > 0 then
    redis.call('HSET', control, unpack(pairs_of_all))
  end
  changes = {}
end

-- Bytes of bookkeeping beside entries, as samples have corrected the estimate (sample.lua).
local function upkeep_total()
  local factor = counter('f')
  return math.floor(counter('k') * (factor > 0 and factor or 1000) / 1000)
end

local function total()
  local entries = counter('b0') + counter('b1') + counter('b2')
  return entries + counter('l') + upkeep_total() + counter('vb') + counter('o')
end

-- All bookkeeping anew. Each structure holds a member that nothing removes, so one that is missing was lost.
local function begin_generation(why)
  local rest, fleet, void_entries = counter('o'), counter('of'), counter('n0') + counter('n1') + counter('n2')
  local void_bytes = total() - rest
  begun, voided = why, voided + void_entries
  void_entries = void_entries + counter('vn')
  redis.call('UNLINK', unpack(bookkeeping))
  counters, changes = nil, {}
  -- Later than any that was known, whatever this server's clock says.
  local before = math.max(tonumber(known, 16), tonumber(generation or '0', 16))
  -- One that nobody of Pannier has written may be so late that the next whole number is no other one to Lua.
  local later = before + math.max(1, math.floor(before / 2 ^ 52))
  generation = string.format('%016x', math.max(now_micros(), later))
  redis.call('SET', generation_name, generation)
  redis.call('HSET', control, 'sq', 0, 'vb', void_bytes, 'vn', void_entries, 'sw', 0, 'o', rest, 'of', fleet)
  for _, set in ipairs(paged) do
    begin_set(set)
  end
  for _, by_number in ipairs({ leases, fences, landed }) do
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
    local result = body()
    write_account()
    return result
  end
  local function words(failure)
    return type(failure) == 'table' and failure.err or tostring(failure)
  end
  -- Whether bookkeeping is lost, of another type, or makes no sense. What Redis refuses, or lacks, it would with any.
  local function is_loss(failure)
    for _, word in ipairs({ 'lost', 'WRONGTYPE', 'not an integer', 'not a valid', 'overflow', 'attempt to',
      'bad argument', 'too short', 'must be strings', 'rong number of arg' }) do
      if string.find(words(failure), word, 1, true) then
        return true
      end
    end
    return false
  end
  local is_done, result = pcall(attempt)
  if not is_done and is_loss(result) then
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
