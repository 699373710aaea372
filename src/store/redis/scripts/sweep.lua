-- KEYS: control. ARGV: prefix, generation, prefix as a glob, cursor, the generation in which this sweep began.
-- Removes, of one page of all names, the entries, leases and pages that are void. Returns the next cursor; 0 as well if
-- there is another generation by now, for which another sweep begins.
return run(function()
  if generation ~= ARGV[5] then
    return '0'
  end
  local page = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[3] .. ':[eliptx]*:*', 'COUNT', 150)
  local void, entries = {}, 0
  for _, name in ipairs(page[2]) do
    local rest = string.sub(name, #prefix + 2)
    local kind = string.sub(rest, 1, 2)
    if kind == 'e:' or kind == 'l:' then
      if redis.pcall('GETRANGE', name, 0, 15) ~= generation then
        void[#void + 1] = name
        entries = entries + (kind == 'e:' and 1 or 0)
      end
    elseif string.find(rest, '^[iptx][x%d]:') and string.sub(rest, 4, 19) ~= generation then
      void[#void + 1] = name
    end
  end
  if #void > 0 then
    redis.call('UNLINK', unpack(void))
  end
  local left = counter('vn')
  if page[1] == '0' then
    redis.call('HDEL', control, 'sw', 'vb', 'vn')
  else
    redis.call('HSET', control, 'sw', now_ms() + 10000)
    if left > 0 then
      local some = math.min(entries, left)
      add('vb', -math.floor(counter('vb') * some / left))
      add('vn', -some)
    end
  end
  return page[1]
end)
