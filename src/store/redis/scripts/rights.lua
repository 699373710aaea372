-- KEYS: layouts. ARGV: prefix, generation, tag.
-- Returns which of the commands that Pannier sends, by itself or in scripts, the user may not use, and with `!` in front
-- those that Redis lacks, as where they are renamed. Runs none of them.
local missing = {}
-- Since Redis 7; what lacks it has other ways to say no.
if not redis.acl_check_cmd then
  return missing
end
local function try(name, ...)
  local is_known, may = pcall(redis.acl_check_cmd, ...)
  if not is_known then
    table.insert(missing, '!' .. name)
  elseif not may then
    table.insert(missing, name)
  end
end
try('client|tracking', 'CLIENT', 'TRACKING', 'ON')
try('time', 'TIME')
try('info', 'INFO', 'memory')
try('eval', 'EVAL', 'return 1', '1', KEYS[1])
try('scan', 'SCAN', '0')
local entry, alive = prefix .. ':e:', ARGV[3] .. ':alive'
for _, command in ipairs({
  { 'GET', entry }, { 'MGET', entry }, { 'GETRANGE', entry, '0', '1' }, { 'SETRANGE', entry, '0', '' }, { 'SET', entry, '' },
  { 'EXISTS', entry }, { 'UNLINK', entry }, { 'TYPE', entry }, { 'RENAME', index, index },
  { 'PTTL', entry }, { 'PEXPIRE', entry, '1' }, { 'STRLEN', entry }, { 'ZREMRANGEBYRANK', fences, '0', '0' },
  { 'SADD', KEYS[1], '' }, { 'SREM', KEYS[1], '' }, { 'SMEMBERS', KEYS[1] },
  { 'HSET', alive, '', '' }, { 'HGET', control, '' }, { 'HMGET', control, '' }, { 'HGETALL', alive }, { 'HKEYS', alive },
  { 'HLEN', alive }, { 'HDEL', alive, '' }, { 'HINCRBY', control, '', '1' },
  { 'ZADD', index, '0', '' }, { 'ZREM', index, '' }, { 'ZSCORE', landed, '' }, { 'ZMSCORE', leases, '' },
  { 'ZCARD', fences }, { 'ZRANGE', fences, '0', '0' }, { 'ZRANGEBYSCORE', leases, '0', '0' },
  { 'ZRANGEBYLEX', index, '-', '+' }, { 'ZREVRANGEBYLEX', index, '+', '-' }, { 'ZRANDMEMBER', index, '1' },
}) do
  try(string.lower(command[1]), unpack(command))
end
return missing
