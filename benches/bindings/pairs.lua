-- As pairs.c, with the Lua module. os.clock is the CPU time of this process; the sleeping sampler adds little to it.
local ct = require "carbontracker"
local tracker = ct.new { sim_cpu = "bench:100" }

local function pairs_of(count)
  local start = os.clock()
  for _ = 1, count do
    tracker:epoch_begin()
    tracker:epoch_end()
  end
  return 1e9 * (os.clock() - start) / (2 * count)
end

pairs_of(100000)
print(("%.1f"):format(pairs_of(1000000)))
tracker:close()
