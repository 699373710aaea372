-- Shared by all scripts. ARGV[1] is the shard's prefix; every name is built from it, so all of them
-- are in the slot of KEYS[1]. The names are explained in keys.rs. ARGV[2] is the last generation that the
-- caller knows, of 16 zeros if none.
local prefix, known = ARGV[1], ARGV[2]
local control, leases, fences = prefix .. ':by', prefix .. ':lx', prefix .. ':tp'
local generation_name, landed = prefix .. ':g', prefix .. ':pl'

-- Paged sets (pages.lua).
local index, tagged, purged = prefix .. ':ix', prefix .. ':tx', prefix .. ':px'
local expiry = { ['0'] = prefix .. ':x0', ['1'] = prefix .. ':x1', ['2'] = prefix .. ':x2' }
local paged = { index, tagged, purged, expiry['0'], expiry['1'], expiry['2'] }

local bookkeeping = { generation_name, control, leases, fences, landed, unpack(paged) }

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
