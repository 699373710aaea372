-- Requests for many objects, all made before the run: BYTES KEYS ZIPF PREFIX. Zipf's exponent 0 draws all
-- objects alike.
local drawn, next_one = {}, 0
local count = 65536

function init(args)
  local bytes, keys, zipf, prefix = args[1], tonumber(args[2]), tonumber(args[3]), args[4] or 'k'
  local sums, sum = {}, 0
  for rank = 1, keys do
    sum = sum + rank ^ -zipf
    sums[rank] = sum
  end
  math.randomseed(7)
  for i = 1, count do
    local point = math.random() * sum
    local low, high = 1, keys
    while low < high do
      local middle = math.floor((low + high) / 2)
      if sums[middle] < point then low = middle + 1 else high = middle end
    end
    drawn[i] = wrk.format('GET', '/b/' .. bytes .. '/' .. prefix .. (low - 1))
  end
end

function request()
  next_one = next_one % count + 1
  return drawn[next_one]
end
