-- KEYS: control. ARGV: prefix, generation, 'keys' or 'tags', the process if the purge is whole with this (else ''), the
-- number of its last purge, how an entry begins that is purged softly now ('' if it is to be removed), then some hundred
-- members of `:ix` or `:tx` at most.
-- Purges what they stand for; of ' auth:<digest>', or ' auth:*', tells whoever has read its name. Returns how many entries that were, and the purge's number if it is whole.
local softened = ARGV[6]

-- The time at the end of what such an entry begins with, as one that was not purged softly has it.
local never = string.rep('\0', 8)

-- Marks an entry, so that it is stale and stays. Returns how many have become so; nothing if it cannot be marked: there
-- is none, or a stub, or one of another form.
local function soften(name)
  local from = #generation
  local found = redis.pcall('GETRANGE', name, from, from + #softened - 1)
  if type(found) ~= 'string' or #found ~= #softened or string.sub(found, 1, -9) ~= string.sub(softened, 1, -9) then
    return nil
  end
  local is_news = string.sub(found, -8) == never
  -- Also where it says so already: whoever holds it is told.
  redis.call('SETRANGE', name, from, is_news and softened or found)
  return is_news and 1 or 0
end

return run(function()
  local removed = 0
  for i = 7, #ARGV do
    local member, key = ARGV[i], ARGV[i]
    if ARGV[3] == 'tags' then
      key = string.sub(member, string.find(member, '\0', 1, true) + 1)
    end
    if string.sub(key, 1, 6) == ' auth:' then
      local digest = string.sub(key, 7)
      redis.call('SET', prefix .. (digest == '*' and ':a' or ':a:' .. digest), '1', 'PX', '1000')
    end
    local name = prefix .. ':e:' .. key
    unlease(key)
    local marked = softened ~= '' and soften(name)
    if marked then
      removed = removed + marked
    else
      if ARGV[3] == 'tags' then
        redis.call('ZREM', tagged, member)
      end
      local gone = redis.call('UNLINK', name)
      removed = removed + gone
      if forget(key) and gone == 0 then
        tell_of_eviction()
      end
      redis.call('ZREM', index, key)
    end
  end
  local number = ARGV[4] ~= '' and land(ARGV[4], ARGV[5]) or 0
  return { removed + voided, number }
end)
