-- To-be-closed variables of Lua 5.4.
local check = require "check"
local ct = require "carbontracker"
local equal, raises, has = check.equal, check.raises, check.has

local function done(t) return t:value "/run/epochs_done" end

local outside
do
  local t <close> = ct.new(check.STEADY)
  outside = t
  do
    local epoch <close> = t:scope()
    t:progress(1, 2)
  end
  equal(done(t), 1)
  do
    local epoch <close> = t:scope()
    epoch:close()
  end
  do
    local epoch <close> = t:scope()
    epoch:cancel()
  end
  equal(done(t), 2)
  raises("in the scope", function()
    local epoch <close> = t:scope()
    error "in the scope"
  end)
  equal(done(t), 2)

  for e in t:epochs(5) do if e == 2 then break end end
  equal(done(t), 4)
  equal((function() for e in t:epochs(5) do if e == 2 then return e end end end)(), 2)
  equal(done(t), 6)
  for e in t:epochs(5) do if e == 2 then goto out end end
  ::out::
  equal(done(t), 8)
  local thrown = {}
  local _, caught = pcall(function() for e in t:epochs(5) do if e == 2 then error(thrown) end end end)
  equal(caught, thrown)
  equal(done(t), 9)
  raises("open already", function() for _ in t:epochs(2) do for _ in t:epochs(2) do end end end)
  equal(done(t), 9)

  -- A closed coroutine ends its epoch; a failed one drops it.
  local routine = coroutine.create(function() for e in t:epochs(5) do coroutine.yield(e) end end)
  coroutine.resume(routine)
  coroutine.close(routine)
  equal(done(t), 10)
  equal(t:epoch_begin(), "ok")
end
equal(tostring(outside), "carbontracker: closed")

local fine, problem = pcall(function()
  local t <close> = ct.new(check.STEADY)
  outside = t
  t:epoch_begin()
  error "with a tracker"
end)
equal(fine, false)
has(problem, "with a tracker")
equal(tostring(outside), "carbontracker: closed")
print "passed"
