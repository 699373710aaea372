-- What the server has left, where its memory is bounded: `sl`, the most that the account may come to, and `se`, where
-- eviction begins. What others store in it counts, and what Redis itself needs; so this is looked at again and again.
-- `shards` may be on one server. Where Redis itself lets entries leave, its end is not looked at: beside others it is always
-- full there, and what leaves then is Redis' to say.
local function look_at_server(max, evict_at, shards)
  local info = redis.pcall('INFO', 'memory')
  note('sb', total())
  local most = type(info) == 'string' and tonumber(string.match(info, '[\r\n]maxmemory:(%d+)')) or 0
  if most == 0 or not string.find(info, 'maxmemory_policy:noeviction', 1, true) then
    note('sl', 0)
    note('se', 0)
    return
  end
  local used = tonumber(string.match(info, '[\r\n]used_memory:(%d+)'))
  -- Buffers of replicas and of the journal, which Redis leaves out as well.
  used = used - tonumber(string.match(info, '[\r\n]mem_not_counted_for_evict:(%d+)') or 0)
  note('sl', math.max(1, math.floor(total() + (most - used) / shards)))
  note('se', math.max(1, math.floor(total() + (most * evict_at / max - used) / shards)))
end

-- What Pannier has in any case: where others fill the server, stubs of what is in memory alone (put.lua).
local function least(max)
  return math.floor(max / 32)
end

-- Where eviction begins, and the most that entries may come to: the rest of `max` is for leases and stubs.
local function thresholds(max, evict_at)
  local most = max - math.floor(max / 16)
  local at = math.min(evict_at, most)
  if counter('sl') > 0 then
    at, most = math.min(at, counter('se')), math.min(most, counter('sl'))
  end
  return at, most
end
