-- The cost of a call through the binding, µs: the least of five rounds.
local ct = require "carbontracker"

local count = tonumber(arg[1])

local function measure(name, calls, run)
  local least = math.huge
  for _ = 1, 5 do
    local start = os.clock()
    run()
    least = math.min(least, (os.clock() - start) / (count * calls) * 1e6)
  end
  print(("%-24s %.3f us a call"):format(name, least))
end

local t = ct.new("sim_cpu=bench:100 epochs=1000000000")
local function nothing() end

measure("epoch_begin, epoch_end", 2, function()
  for _ = 1, count do
    t:epoch_begin()
    t:epoch_end()
  end
end)
t:epoch_begin()
measure("progress", 1, function()
  for i = 1, count do t:progress(i, count) end
end)
t:epoch_end()
measure("a loop's epoch", 1, function()
  for _ in t:epochs(count) do end
end)
measure("epoch(f)", 1, function()
  for _ = 1, count do t:epoch(nothing) end
end)
local none = ct.disabled()
measure("disabled begin and end", 2, function()
  for _ = 1, count do
    none:epoch_begin()
    none:epoch_end()
  end
end)
