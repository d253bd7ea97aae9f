-- As player.c, with the Lua module.
local ct = require "carbontracker"
local tracker = ct.new(arg[1])
for line in io.lines() do
  if line == "quit" then break end
  if line == "begin" then tracker:epoch_begin() end
  if line == "end" then tracker:epoch_end() end
  if line == "cancel" then tracker:epoch_cancel() end
  if line == "progress" then tracker:progress(7, 9) end
  if line == "value" then io.write(("%.17g "):format(tracker:value "/usage/energy_j")) end
  if line == "text" then io.write(tracker:text "/components") end
  if line == "rest" then for epoch in tracker:remaining(10) do io.write(("%d "):format(epoch)) end end
  if line == "report" then io.write((tracker:report "json":gsub("\n", ""))) end
  io.write "\n"
  io.flush()
end
tracker:close()
