-- KEYS: the leases of some keys; in a cluster what is stored under them, too. ARGV: prefix, generation, budget, bytes of entries after which no more
-- are returned, how many ms a lease lasts by itself, and for each of them key, token, and '1' if it is wanted only where nothing is
-- stored.
-- Returns for each 0, the token of the fill that has it and for how many ms it lasts yet by itself; 1 (ours) or 2 (no room), the purge
-- number and the entry's bytes; or
-- 3: it is to be asked for again; or 4: something is stored, and so it is not wanted.
local max, most_bytes, lasting = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST, EACH = 6, 3

-- However long its fill says that it goes on (prolong.lua). Where it does not say so, tidying ends the lease (entries.lua).
local LONGEST = 600000

-- The tokens of the fills that have leases, by the leases' names.
local function find_holders(names)
  local holders, found = {}, redis.call('MGET', unpack(names))
  for i = 1, #names do
    local bytes = found[i]
    if bytes and string.sub(bytes, 1, 16) == generation then
      holders[names[i]] = string.sub(bytes, 17)
    end
  end
  return holders
end

-- Every store tidies as well (put.lua).
local has_tidied = false
local function has_room_for(key)
  if total() + lease_cost(key) > max and not has_tidied then
    has_tidied = true
    tidy(20)
  end
  return total() + lease_cost(key) <= max
end

-- What is stored, unless it is a stub (put.lua).
local function read_entry(name)
  local entry = read(name)
  return entry ~= '' and entry
end

-- Whether something is, seen by its beginning. What is of another type is not, and goes when it is read.
local function is_stored(name)
  local beginning = redis.pcall('GETRANGE', name, 0, #generation)
  return type(beginning) == 'string' and #beginning > #generation and string.sub(beginning, 1, #generation) == generation
end

return run(function()
  has_tidied = false
  local count, names = (#ARGV - FIRST + 1) / EACH, {}
  for i = 1, count do
    names[i] = prefix .. ':l:' .. ARGV[FIRST + EACH * (i - 1)]
  end
  -- Read, so that client tracking tells of a purge that takes a lease.
  local holders, purges, results, taken, needless, bytes = find_holders(names), counter('sq'), {}, {}, {}, 0
  for i = 1, count do
    local at, name = FIRST + EACH * (i - 1), names[i]
    local key, token = ARGV[at], ARGV[at + 1]
    local entry_name = prefix .. ':e:' .. key
    if ARGV[at + 2] == '1' and is_stored(entry_name) then
      results[i] = { 4 }
      needless[#needless + 1] = name
    elseif holders[name] then
      local ending = redis.call('ZSCORE', leases, key) or 0
      results[i] = { 0, holders[name], math.max(0, tonumber(ending) - now_ms()) }
    elseif bytes > most_bytes then
      results[i] = { 3 }
    else
      local entry, has_room = read_entry(entry_name), has_room_for(key)
      bytes = bytes + (entry and #entry or 0)
      results[i] = { has_room and 1 or 2, purges, entry }
      if has_room then
        redis.call('SET', name, generation .. token, 'PX', LONGEST)
        if redis.call('ZADD', leases, now_ms() + lasting, key) == 1 then
          add('l', lease_cost(key))
        end
        holders[name], taken[#taken + 1] = token, name
      end
    end
  end
  if #taken > 0 then
    redis.call('EXISTS', unpack(taken))
  end
  -- One that nobody has would stay watched, having been read, and whoever takes it later would look like a purge.
  for i = 1, #needless do
    if not holders[needless[i]] then
      redis.call('SET', needless[i], '')
      redis.call('UNLINK', needless[i])
    end
  end
  return results
end)
