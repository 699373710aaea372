-- KEYS: generation, layouts. ARGV: prefix, generation, tag, layout, ms for which this beat announces the layout
-- (0: not at all), process, the last purge number seen in that generation, the number of the process's last
-- purge in it, '1' if that generation is known to be void, ms from one check of the budget to the next, budget, where
-- eviction begins, shards.
-- Returns Redis's time (s, µs), the purge number, the counters b0 b1 b2 n0 n1 n2, the bytes beside them, which other
-- layouts are in use, which were, 1 if this process is to sweep (sweep.lua), what changes when tracking was forgotten,
-- 1 if this process is to tidy (tidy.lua), 1 if it is to check the budget (sample.lua, evict.lua), the most that the
-- server leaves (0: it has no bound, or makes room itself), what the fleet has (sample.lua).
local layouts, alive, own = KEYS[2], ARGV[3] .. ':alive', ARGV[4]
local announced, process, seen, last = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

-- Whether purges are missing that the caller knows of.
local function is_older()
  return tonumber(redis.call('HGET', control, 'sq')) < seen or lacks(process, last)
end

-- Changes whenever Redis has forgotten what it was to tell: it does so with any flush, of other databases too, and
-- when it takes over the data of another server.
local function find_history()
  local info = redis.pcall('INFO', 'commandstats')
  local replication = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' or type(replication) ~= 'string' then
    return ''
  end
  local calls = function(name)
    return string.match(info, 'cmdstat_' .. name .. ':calls=(%d+)') or '0'
  end
  local id = string.match(replication, 'master_replid:(%w+)') or ''
  return calls('flushdb') .. ' ' .. calls('flushall') .. ' ' .. id
end

-- Both are shared by all layouts, so no generation covers them.
local function ensure_type(name, wanted)
  local found = redis.call('TYPE', name).ok
  if found ~= wanted and found ~= 'none' then
    redis.call('UNLINK', name)
  end
end

-- Whether others have taken what the server had left, also where nobody stores, and are refused.
local function is_crowded()
  if counter('sl') == 0 then
    return false
  end
  local max, evict_at = tonumber(ARGV[11]), tonumber(ARGV[12])
  look_at_server(max, evict_at, tonumber(ARGV[13]))
  return total() - counter('vb') > math.max(thresholds(max, evict_at), least(max))
end

-- Other layouts: those in use, and those that were.
local function find_others()
  local in_use, left = {}, {}
  for _, layout in ipairs(redis.call('SMEMBERS', layouts)) do
    if layout ~= own then
      local until_ms = tonumber(redis.call('HGET', alive, layout) or 0)
      table.insert(until_ms > now_ms() and in_use or left, layout)
    end
  end
  return in_use, left
end

-- Who only looks begins nothing.
if announced == 0 and redis.call('EXISTS', unpack(bookkeeping)) < #bookkeeping then
  local time, in_use, left = redis.call('TIME'), find_others()
  local nothing = { tonumber(time[1]), tonumber(time[2]), 0, 0, 0, 0, 0, 0, 0, 0, in_use, left, 0, find_history(), 0, 0, 0, 0 }
  return { known, '', nothing }
end

return run(function()
  local is_untidy = tidy(100)
  local is_new = false
  if announced > 0 then
    ensure_type(layouts, 'set')
    ensure_type(alive, 'hash')
    -- Written only when new: a change tells every other connection at once, by client tracking.
    is_new = redis.call('SADD', layouts, own) == 1
    redis.call('HSET', alive, own, now_ms() + announced)
  end
  local in_use, left = find_others()

  if begun == '' and generation == known and is_older() then
    begin_generation('older')
  end
  -- The set was lost, or another layout has taken this one out.
  local is_void = is_new or (ARGV[9] == '1' and generation == known and #in_use + #left == 0)
  if begun == '' and announced > 0 and is_void then
    begin_generation('layout')
  end

  -- One process does it until then, or until it is done.
  local function takes(field, lasting)
    local taken_until = tonumber(redis.call('HGET', control, field) or 0)
    -- A later moment is of a clock that was set back.
    if announced == 0 or (taken_until > now_ms() and taken_until <= now_ms() + lasting) then
      return 0
    end
    redis.call('HSET', control, field, now_ms() + lasting)
    return 1
  end
  local sweeps = redis.call('HGET', control, 'sw') and takes('sw', 10000) or 0
  local tidies = is_untidy and takes('tw', 3000) or 0
  local check_every = tonumber(ARGV[10])
  local checks = takes('cw', check_every)
  if announced > 0 and checks == 0 and is_crowded() then
    -- Sooner than others ask for it, and no more than once a second.
    local checked = tonumber(redis.call('HGET', control, 'cw')) - check_every
    if now_ms() - checked >= 1000 then
      redis.call('HSET', control, 'cw', now_ms() + check_every)
      checks = 1
    end
  end

  local time = redis.call('TIME')
  local purge_number = tonumber(redis.call('HGET', control, 'sq'))
  local reply = { tonumber(time[1]), tonumber(time[2]), purge_number }
  for i, field in ipairs({ 'b0', 'b1', 'b2', 'n0', 'n1', 'n2' }) do
    reply[i + 3] = counter(field)
  end
  local beside = total() - counter('b0') - counter('b1') - counter('b2') - counter('vb')
  reply[10], reply[11], reply[12], reply[13], reply[14] = beside, in_use, left, sweeps, find_history()
  reply[15], reply[16], reply[17], reply[18] = tidies, checks, counter('sl'), counter('of')
  return reply
end)
