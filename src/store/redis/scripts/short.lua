-- KEYS: entry, generation. ARGV: prefix, generation, the last byte wanted.
-- Returns the entry's bytes up to that one, as `MGET` would with the generation behind them.
return { redis.call('GETRANGE', KEYS[1], 0, ARGV[3]), redis.call('GET', KEYS[2]) }
