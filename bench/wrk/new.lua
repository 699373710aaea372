-- Each request is for an object nobody asked for before: BYTES PREFIX.
local bytes, prefix, number

function init(args)
  bytes, prefix, number = args[1], args[2], 0
end

function request()
  number = number + 1
  return wrk.format('GET', '/b/' .. bytes .. '/' .. prefix .. number)
end
