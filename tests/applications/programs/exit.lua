-- Ends by os.exit. By default it closes no state: nothing is collected, and no finalizer runs.
local ct = require "carbontracker"

local function rest()
  local began = os.clock()
  while os.clock() - began < 0.03 do end
end

run = ct.new(os.getenv "CT_OPTIONS")
for _ = 1, 2 do
  run:epoch_begin()
  rest()
  run:epoch_end()
end
os.exit(tonumber(arg[1]))
