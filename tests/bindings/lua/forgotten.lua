-- Trackers without a variable, each in an open epoch. The collector releases them; the exit releases the rest.
local check = require "check"
local ct = require "carbontracker"

local function threads()
  local file = assert(io.open "/proc/self/status")
  local count = tonumber(file:read("*a"):match "Threads:%s+(%d+)")
  file:close()
  return count
end

for _ = 1, tonumber(arg[1]) do ct.new(check.STEADY):epoch_begin() end

-- The thread of a released tracker ends.
local tries = 0
repeat
  collectgarbage()
  check.pass_time(0.01)
  tries = tries + 1
until threads() <= 3 or tries == 500
check.that(threads() <= 3, threads() .. " threads left")

local kept = {}
for i = 1, 50 do
  kept[i] = ct.new(check.STEADY)
  kept[i]:epoch_begin()
end
print "passed"
