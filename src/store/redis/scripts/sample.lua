-- KEYS: control. ARGV: prefix, generation, budget, where eviction begins, shards, the bytes that the fleet has in the first shard.
-- Corrects the account by what some structures really take, and looks at the server.
local SAMPLES = 12

-- Whether it may be asked what a structure takes: Redis may lack the command under its name, and a user without the right to it
-- would leave a line in `ACL LOG`.
local function may_measure()
  if not redis.acl_check_cmd then
    return true
  end
  local is_known, may = pcall(redis.acl_check_cmd, 'MEMORY', 'USAGE', control)
  return is_known and may
end

-- What a paged set takes: its directory, and as much for each page as some take. Nothing if Redis does not say.
local function measure(set)
  local directory = redis.pcall('MEMORY', 'USAGE', set)
  if type(directory) ~= 'number' then
    return nil
  end
  local bytes, bounds = 0, redis.call('ZRANDMEMBER', set, SAMPLES)
  for _, bound in ipairs(bounds) do
    bytes = bytes + (redis.call('MEMORY', 'USAGE', page_name(set, bound)) or lose())
  end
  return directory + bytes * redis.call('ZCARD', set) / #bounds
end

-- What is always there of the rest is not counted.
local USUAL_REST = 4096

local function sum_up(names)
  local bytes = 0
  for _, name in ipairs(names) do
    bytes = bytes + (tonumber(redis.pcall('MEMORY', 'USAGE', name)) or 0)
  end
  return bytes
end

-- Bytes of what the fleet has, all of it in the first shard, under names of no layout.
local function measure_fleet()
  local tag, names = string.match(prefix, '^(.*):v%d+$'), {}
  for i, name in ipairs({ 'hot', 'jobs', 'switches', 'sidecars', 'writes' }) do
    names[i] = tag .. ':' .. name
  end
  return sum_up(names)
end

-- Bytes of what stands once, or is bounded by its number, as far as that is more than usual. What the fleet has counts in equal
-- parts in all shards, wherever it is.
local function measure_rest()
  local fleet = measure_fleet()
  note('of', fleet)
  local part = math.floor(math.max(fleet, tonumber(ARGV[6])) / tonumber(ARGV[5]))
  return math.max(sum_up({ fences, landed, prefix .. ':ag' }) + part - USUAL_REST, 0)
end

return run(function()
  local may = may_measure()
  note('o', may and measure_rest() or 0)
  look_at_server(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
  local entries = counter('n0') + counter('n1') + counter('n2')
  -- Of few entries what is there anyway would count too much.
  if not may or entries < 500 or counter('k') <= 0 then
    return 0
  end
  local bytes = 0
  for _, set in ipairs(paged) do
    local taken = measure(set)
    if not taken then
      return 0
    end
    bytes = bytes + taken
  end
  local factor = math.floor(bytes * 1000 / counter('k'))
  note('f', math.max(500, math.min(4000, factor)))
  return counter('f')
end)
