-- KEYS: jobs. ARGV: prefix, generation, what is to be done, and what that takes. Returns Redis's time in ms and the answer.
-- A job has one record, in JSON: `slot`, the last of its times that somebody has taken, by Redis's time; `token`, which counts
-- the runs; of the last run `id`, `holder` and `trigger`, `state`, until when the holder has it (`until`, `lasting` ms from when
-- it said so), whether it is for `slot` (`of_slot`), how far it is; `cancel`.
local jobs, what, name = KEYS[1], ARGV[3], ARGV[4]
local MOST = 256
local found = redis.call('TYPE', jobs).ok
if found ~= 'hash' and found ~= 'none' then
  redis.call('UNLINK', jobs)
end

local function read(field)
  local text = redis.call('HGET', jobs, field)
  local is_right, record = pcall(cjson.decode, text or '')
  return is_right and type(record) == 'table' and tonumber(record.token) and tonumber(record.slot) and record or nil
end

-- Of names that no config has any more, the one that was used longest ago goes.
local function make_room()
  local oldest, since
  for _, field in ipairs(redis.call('HKEYS', jobs)) do
    local record = read(field)
    local used = record and tonumber(record.used) or 0
    if not since or used < since then
      oldest, since = field, used
    end
  end
  redis.call('HDEL', jobs, oldest)
end

local function keep(record)
  if redis.call('HLEN', jobs) >= MOST and not redis.call('HGET', jobs, name) then
    make_room()
  end
  record.used = now_ms()
  redis.call('HSET', jobs, name, cjson.encode(record))
end

-- What would be held for much longer than a lease lasts was taken before the clock went back.
local function is_held(record)
  local left = tonumber(record['until'] or 0) - now_ms()
  return record.state == 'running' and left > 0 and left <= 2 * tonumber(record.lasting or 0)
end

-- Whether a run of the job has begun at `since` or later.
local function has_begun(record, since)
  local begun = tonumber(record.begun or 0)
  return since > 0 and begun >= since and begun <= now_ms()
end

-- The clock has gone back: no time that is still to come was taken.
local function forget_ahead(record)
  if record.slot <= now_ms() then
    return false
  end
  record.slot = now_ms()
  return true
end

local answers = {}

-- names, each with the last slot that the caller knows to be taken: what Redis has lost it learns again. Returns everything,
-- so that each sidecar knows it.
function answers.look()
  for first = 4, #ARGV, 2 do
    name = ARGV[first]
    local slot, record = math.min(tonumber(ARGV[first + 1]), now_ms()), read(name) or { slot = 0, token = 0 }
    if forget_ahead(record) or record.slot < slot then
      record.slot = math.max(record.slot, slot)
      keep(record)
    end
  end
  return redis.call('HGETALL', jobs)
end

-- name, id, holder, ms of the lease, why, slot (0: none), the last slot that the caller knows to be taken, the token of the
-- run that it goes on with (0: none), since when no run may have begun (0: any may). 'held' by another, 'past': taken, or not
-- come yet, or a name that is new here, or not to be done any more; else the token.
function answers.take()
  local id, holder, lasting, trigger = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
  local slot, known = tonumber(ARGV[9]), math.min(tonumber(ARGV[10]), now_ms())
  local left, since = tonumber(ARGV[11]), tonumber(ARGV[12])
  local record = read(name) or { slot = 0, token = 0 }
  if has_begun(record, since) then
    return 'past'
  end
  if is_held(record) then
    return 'held'
  end
  -- A schedule that was never seen begins with its next time, and so does one that Redis has lost: the time before may be
  -- taken.
  if record.slot == 0 and slot > 0 then
    record.slot = math.max(known, math.min(slot, now_ms()))
    keep(record)
    return 'past'
  end
  local is_changed = forget_ahead(record)
  record.slot = math.max(record.slot, known)
  -- Its holder has died before it heard that it is to end.
  if record.state == 'running' and record.cancel then
    record.state, record.ended, record.cancel, is_changed = 'cancelled', now_ms(), nil, true
  end
  -- A holder that is gone has left its run undone.
  local is_left = record.state == 'running'
  local is_past = left > 0 and not (is_left and record.token == left)
  if slot > 0 then
    local is_own = is_left and record.of_slot and slot == record.slot
    is_past = slot > now_ms() or (slot <= record.slot and not is_own)
  end
  if is_past then
    if is_changed then
      keep(record)
    end
    return 'past'
  end
  record.slot = math.max(record.slot, slot)
  keep({ slot = record.slot, token = record.token + 1, id = id, holder = holder, trigger = trigger, state = 'running',
    ['until'] = now_ms() + lasting, lasting = lasting, begun = now_ms(), total = 0, settled = 0, failed = 0, of_slot = slot > 0 })
  return record.token + 1
end

-- name, id, token, ms of the lease, total, settled, failed. 'lost': another has it; 'cancel': it is to end; else 'ok'.
function answers.renew()
  local id, token = ARGV[5], tonumber(ARGV[6])
  local record = read(name) or { slot = 0, token = 0 }
  if record.token > token or (record.token == token and record.id ~= id) or (record.token == token and record.state ~= 'running') then
    return 'lost'
  end
  -- One that is older was restored, or lost: the holder goes on.
  if record.token < token then
    record = { slot = record.slot, token = token, id = id, holder = ARGV[11], trigger = ARGV[12], begun = now_ms(),
      of_slot = ARGV[12] == 'schedule' }
  end
  record.state, record.lasting = 'running', tonumber(ARGV[7])
  record['until'] = now_ms() + record.lasting
  record.total, record.settled, record.failed = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  keep(record)
  return record.cancel and 'cancel' or 'ok'
end

-- name, id, token, state, total, settled, failed, error, the slot that its end has come behind. 'lost' or 'ok'.
-- State 'left': whoever comes next goes on with it.
function answers.finish()
  local id, token, state = ARGV[5], tonumber(ARGV[6]), ARGV[7]
  local record = read(name)
  if not record or record.token ~= token or record.id ~= id then
    return 'lost'
  end
  record.total, record.settled, record.failed = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  record.error, record.slot = ARGV[11] ~= '' and ARGV[11] or nil, math.max(record.slot, tonumber(ARGV[12]))
  if state == 'left' then
    record['until'] = 0
  else
    record.state, record.ended, record.cancel = state, now_ms(), nil
  end
  keep(record)
  return 'ok'
end

-- name, id. 'ok': its holder hears of it; 'past': it does not run.
function answers.cancel()
  local record = read(name)
  if not record or record.id ~= ARGV[5] or record.state ~= 'running' then
    return 'past'
  end
  if is_held(record) then
    record.cancel = true
  else
    record.state, record.ended = 'cancelled', now_ms()
  end
  keep(record)
  return 'ok'
end

return { now_ms(), answers[what]() }
