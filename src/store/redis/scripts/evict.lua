-- KEYS: control. ARGV: prefix, generation, the highest priority that may go, bytes that are to fit (0: a check), the
-- goal ('' to begin with), the percentage of what is used that is to go, budget, where eviction begins, shards, the order.
-- Makes room: of each priority from low on (`budget::plan`), what is worth least or expires first. Returns 0 done, 1 there is more to do
-- before the bytes fit, 2 they cannot, and nothing went, 3 they fit, and there is more to do, or 4 others have
-- filled the server, and nothing went; the goal, for the next call; how many entries of each priority went;
-- their keys, which Redis does not tell this connection of.
local ceiling, need, goal = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local percent, max, evict_at, shards = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local by_value = ARGV[10] == 'value'

-- Entries removed by one call at most, and by one step of it.
local ENOUGH, STEP = 160, 80

local gone, evicted, work = { 0, 0, 0 }, {}, 0

-- But for what is void: that is being swept, and no eviction brings it down.
local function total_that_lasts()
  return total() - counter('vb')
end

-- What may go in all, with what stands beside it.
local function evictable()
  local bytes, entries, all = 0, 0, 0
  for priority = 0, 2 do
    all = all + counter('n' .. priority)
    if priority <= ceiling then
      bytes, entries = bytes + counter('b' .. priority), entries + counter('n' .. priority)
    end
  end
  return bytes + (all > 0 and upkeep_total() * entries / all or 0)
end

-- Of `keys`, in this order, as many as bring the account down to the goal, or as one call may remove.
local function choose(keys)
  local freed, chosen = 0, {}
  for _, key in ipairs(keys) do
    if total_that_lasts() - freed <= goal then
      break
    end
    local line = value_of(index, key)
    if not line then
      lose()
    end
    local more = 1 + count_tags(line)
    if work > 0 and work + more > MOST_WORK then
      work = MOST_WORK
      break
    end
    freed, work = freed + size_of(line) + upkeep(key, line), work + more
    chosen[#chosen + 1] = key
  end
  return chosen
end

-- What leaves next of a priority: some keys, in order.
local function choose_some(priority)
  if not by_value then
    return choose(find_first(priority, STEP))
  end
  local found, ranks = find_least_worth(priority, STEP)
  local keys = choose(found)
  local last = ranks[keys[#keys]] or 0
  if last > counter('a' .. priority) then
    note('a' .. priority, string.format('%.9g', last))
  end
  return keys
end

-- Removes some of a priority; returns whether there may be more.
local function evict_some(priority)
  local keys = choose_some(tostring(priority))
  if #keys == 0 then
    return work >= MOST_WORK
  end
  -- Of a key that is in no index a purge finds the lease alone, and one that has begun may have looked for it before.
  unlease(keys)
  local there = redis.call('UNLINK', unpack(names_of(':e:', keys)))
  local _, alive = forget(keys, math.huge)
  if alive > there then
    tell_of_eviction()
  end
  gone[priority + 1] = gone[priority + 1] + #keys
  for _, key in ipairs(keys) do
    evicted[#evicted + 1] = key
  end
  return true
end

local function reply(status)
  return { status, tostring(goal or (status == 1 and '' or 0)), gone[1], gone[2], gone[3], evicted }
end

return run(function()
  gone, evicted, work = { 0, 0, 0 }, {}, 0
  local has_expired = tidy(40)
  if not goal then
    look_at_server(max, evict_at, shards)
    local at, own = thresholds(max, evict_at), max - math.floor(max / 16)
    if need == 0 then
      at = math.max(at, least(max))
    elseif at < least(max) and total_that_lasts() <= least(max) - math.floor(least(max) / 16) then
      -- Others have filled the server: nothing of Pannier's makes room for an entry there.
      return reply(4)
    end
    if total_that_lasts() + need <= at then
      return reply(0)
    end
    if need > 0 and total_that_lasts() - evictable() + need > own then
      -- What has expired or was purged is in the account still: the next call begins anew, with less of it.
      return has_expired and reply(1) or reply(2)
    end
    goal = math.floor(math.min(total_that_lasts() * (100 - percent) / 100, math.min(evict_at, own) - need))
  end
  -- What has expired goes first.
  local priority = has_expired and 3 or 0
  while priority <= ceiling and #evicted < ENOUGH and work < MOST_WORK and total_that_lasts() > goal do
    if not evict_some(priority) then
      priority = priority + 1
    end
  end
  if total_that_lasts() <= goal or (priority > ceiling and not has_expired) then
    return reply(0)
  end
  local at = thresholds(max, evict_at)
  return reply(need > 0 and total_that_lasts() + need <= at and 3 or 1)
end)
