-- The interface that is the same in every Lua. Lua 5.4 has more: see scopes.lua.
local check = require "check"
local ct = require "carbontracker"
local equal, raises, that, has, STEADY = check.equal, check.raises, check.that, check.has, check.STEADY

local CLOSES = _VERSION == "Lua 5.4"

local function new(options)
  local all = { sim_cpu = "x:100", components = "cpu", location = "DK" }
  for name, value in pairs(options or {}) do all[name] = value end
  return ct.new(all)
end

local function version_and_backend()
  equal(ct.backend, os.getenv "CARBONTRACKER_LUA_BACKEND")
  equal(ct.version(), arg[1])
end

local function options()
  has(raises("did you mean epochs", function() ct.new { epoch = 10 } end), check.here() .. "carbontracker: unknown")
  raises("unknown option", ct.new, "epoch=10")
  local t, message, status = ct.try_new { epochs = -1 }
  equal(t, nil) has(message, "epochs='-1'") equal(status, "einval")
  for _, bad in ipairs { { epochs = true }, { 10 }, { ["epochs=1 name"] = 2 }, { name = "a\0b" }, "name=a\0b", 10,
    false, { devices = { {} } }, { name = "\255" } } do
    t, message, status = ct.try_new(bad)
    equal(t, nil) that(#message > 10) equal(status, "einval")
  end
  for _, name in ipairs { "two words", "it's", [[back\slash]], [[all'\' of them \\]], "a=b", "ü" } do
    t = new { name = name, epochs = 3 }
    equal(t:report():match "^(.-): 0 of", name)
    t:close()
  end
  for _, number in ipairs { 1, 1.5, 10, 1.1, 1.1234567890123457, 1 + 2 ^ -52, 2 ^ 0.5, 1e0 } do
    t = new { pue = number, epochs = 2 ^ 20 }
    equal(t:value "/pue", number)
    equal(t:value "/run/epochs_planned", 1048576)
    t:close()
  end
  raises("interval='1e+300'", new, { interval = 1e300 })
  raises("interval='1000000000000000'", new, { interval = 1e15 })
  raises("pue='inf'", new, { pue = math.huge })
  raises("'9007199254740993'", ct.new, { interval = math.type and 9007199254740993 or "9007199254740993" })
  raises("components='cpu,psu'", new, { components = { "cpu", "psu" } })
  t = ct.new "sim_cpu='x:100' name='a string'"
  has(t:report(), "a string:")
  t:close()
  ct.new():close()
  ct.new(""):close()
  ct.new({}):close()
end

local function a_loop()
  local t = new { epochs = 4 }
  for _ = 1, 3 do
    equal(t:epoch_begin(), "ok")
    equal(t:progress(1, 2), "ok")
    check.pass_time(0.005)
    equal(t:epoch_end(), "ok")
  end
  equal(t:value "/run/epochs_done", 3)
  check.close(t:value "/usage/energy_j", 100 * t:value "/usage/duration_s")
  that(t:value "/epochs/2/energy_j" >= 0.4)
  that(t:value "/forecast/energy_j/high" > t:value "/usage/energy_j")
  raises("did you mean /usage/energy_j?", t.value, t, "/usage/enrgy_j")
  raises("did you mean /run/name?", t.text, t, "run/name")
  equal(t:value "/epochs/length", 3)
  equal(t:text "/components/0/kind", "cpu")
  has(t:text "/components", '[{"kind":"cpu"')
  equal(t:text "/run/job", nil)
  raises("with a colon", t.value, "/usage/energy_j")
  raises("with a colon", t.epochs, 3)
  raises("with a dot", ct.new, ct)
  equal(t:value "/epochs/0/gpu_j", nil)
  has(t:report(), "3 of 4 epochs")
  equal(t:report(), t:report "text")
  has(t:report "json", '"schema":1')
  equal(select(2, t:report("csv"):gsub("\n", "")), 4)
  has(t:report "prometheus", "carbontracker_")
  raises("format 'pdf'", t.report, t, "pdf")
  has(tostring(t), "3 of 4 epochs")
  local messages = {}
  for message in t:messages() do messages[#messages + 1] = message end
  has(table.concat(messages, "\n"), "forecast after")
  equal(t:message(), nil)
  t:close()
end

local function a_long_report()
  local t = new { epochs = 500, name = ("long "):rep(2000) }
  for _ in t:epochs(500) do end
  that(#t:report "json" > 50000)
  equal(select(2, t:report("csv"):gsub("\n", "")), 501)
  equal(#t:report():match "^[^:]*", 10000)
  t:close()
end

local function misuse()
  local t = new()
  has(raises("no epoch is open", function() t:epoch_end() end), check.here())
  has(raises("no epoch is open", function() t:epoch_cancel() end), check.here())
  has(raises("no epoch is open", function() t:progress(1, 2) end), check.here())
  t:epoch_begin()
  has(raises("open already", function() t:epoch_begin() end), check.here())
  has(raises("open already", function() t:epoch(function() end) end), check.here())
  has(raises("open already", function() t:scope() end), check.here())
  has(raises("open already", function() for _ in t:epochs(1) do end end), check.here())
  for _, bad in ipairs { { -1, 2 }, { 3, 2 }, { 0, 0 }, { 0 / 0, 1 }, { 1, 1 / 0 }, { 1 }, {}, { "x", 2 } } do
    raises("", t.progress, t, bad[1], bad[2])
  end
  equal(t:progress("1", 2.0), "ok")
  for _, bad in ipairs { { -1, 2 }, { 0, 0 }, { 0 / 0, 1 }, { 1, 1 / 0 }, { 1 }, {}, { "x", 2 } } do
    raises("", t.run_progress, t, bad[1], bad[2])
  end
  equal(t:run_progress("1.5", 2), "ok")
  equal(t:run_progress(1, 2), "ok")
  equal(t:value "/run/work/done", 1.5)
  equal(t:epoch_cancel(), "ok")
  equal(t:value "/run/epochs_done", 0)
  raises("takes a pointer", t.value, t)
  raises("takes a format", t.report, t, {})
  raises("takes a function", t.epoch, t, nil)
  raises("takes the number", t.epochs, t)
  t:close()
end

local function closed()
  local t = new()
  t:epoch_begin()
  local loop, _, _, epoch = t:epochs(2)
  t:close()
  t:close()
  equal(tostring(t), "carbontracker: closed")
  for _, name in ipairs { "epoch_begin", "epoch_end", "epoch_cancel", "scope", "report", "message" } do
    has(raises("the tracker is closed", function() t[name](t) end), check.here())
  end
  raises("the tracker is closed", t.progress, t, 1, 2)
  raises("the tracker is closed", t.run_progress, t, 1, 2)
  raises("the tracker is closed", t.value, t, "/usage/energy_j")
  raises("the tracker is closed", t.epoch, t, print)
  raises("the tracker is closed", t:messages(), t)
  raises("the tracker is closed", loop)
  epoch:close()
  epoch:cancel()
  t = new()
  equal(t:epoch(function() t:close() return "done" end), "done")
  t = new()
  for e in t:epochs(1) do equal(e, 1) t:close() break end
end

local function disabled()
  local t = ct.disabled()
  equal(t:epoch_begin(), "disabled")
  equal(t:progress(1, 2), "disabled")
  equal(t:run_progress(1, 2), "disabled")
  equal(t:epoch_end(), "disabled")
  equal(t:epoch_end(), "disabled")
  equal(t:epoch_cancel(), "disabled")
  equal(t:value "/usage/energy_j", nil)
  equal(t:report(), "")
  equal(t:message(), nil)
  equal(t:over_budget(), false)
  equal(tostring(t), "carbontracker: disabled")
  local count = 0
  for e in t:epochs(3) do count = count + e end
  equal(count, 6)
  equal(t:epoch(function(...) return select("#", ...) end, nil, nil), 2)
  t:scope():close()
  t:close()
  equal(tostring(t), "carbontracker: closed")
  raises("closed", t.epoch_begin, t)
end

local function a_function_as_an_epoch()
  local t = new()
  equal(select("#", t:epoch(function(...) return ... end, nil, 2, nil)), 3)
  equal(select(2, t:epoch(function(...) return ... end, nil, 2, nil)), 2)
  equal(t:value "/run/epochs_done", 2)
  local thrown = setmetatable({}, { __tostring = function() return "mine" end })
  local fine, caught = pcall(t.epoch, t, function() error(thrown) end)
  equal(fine, false)
  that(rawequal(caught, thrown), "the same error value")
  has(raises("in the epoch", function() t:epoch(function() error("in the epoch") end) end), check.here())
  equal(t:value "/run/epochs_done", 2)
  t:epoch_begin()
  t:epoch_end()
  t:epoch(function() t:epoch_end() end)
  equal(t:value "/run/epochs_done", 4)
  local _, trace = xpcall(function()
    t:epoch(function() local function culprit() error "deep" end culprit() end)
  end, debug.traceback)
  equal(trace:find("culprit", 1, true) ~= nil, CLOSES)
  t:close()
end

local function phases()
  local t = new()
  local function entries(path) return t:value("/phases/rows/" .. path .. "/entries") or 0 end
  local function none_open() raises("no phase is open", t.phase_end, t) end
  equal(t:phase_begin "step", "ok")
  equal(select("#", t:phase("solve", function(...) check.pass_time(0.03) return ... end, nil, 2, nil)), 3)
  equal(t:phase_end(), "ok")
  equal(entries "step", 1)
  equal(entries "step~1solve", 1)
  local seconds, joules = t:value "/phases/rows/step/duration_s", t:value "/phases/rows/step/energy_j"
  that(seconds >= 0.03 and t:value "/phases/rows/step/own/duration_s" < seconds / 2)
  that(joules > 90 * seconds and joules < 110 * seconds, joules .. " J in " .. seconds .. " s")
  none_open()

  local thrown = setmetatable({}, { __tostring = function() return "mine" end })
  local fine, caught = pcall(t.phase, t, "failed", function() error(thrown) end)
  that(not fine and rawequal(caught, thrown), "the same error value")
  has(raises("in the phase", function() t:phase("failed", function() error("in the phase") end) end), check.here())
  raises("in the epoch", t.epoch, t, function() t:phase("failed", error, "in the epoch") end)
  equal(entries "failed", 3)
  equal(t:value "/run/epochs_done", 0)
  none_open()
  if CLOSES or ct.backend == "ffi" then
    local yields = coroutine.wrap(function() return t:phase("yields", coroutine.yield, 1) end)
    equal(yields(), 1)
    equal(yields(2), 2)
    none_open()
  end
  equal(t:phase("ended", function() t:phase_end() return "its value" end), "its value")

  for _, name in ipairs { "", ("n"):rep(129), "\255" } do
    has(raises("", function() t:phase_begin(name) end), check.here())
    has(raises("", function() t:phase(name, error, "not called") end), check.here())
  end
  for _, name in ipairs { 7, {}, "a\0b", false } do raises('has a name such as "solve"', t.phase_begin, t, name) end
  raises("takes a name and a function", t.phase, t, "solve")
  raises("with a colon", t.phase, "solve", print)
  raises("with a colon", t.phase_begin, "solve")
  raises("with a colon", t.phase_end)
  for _ = 1, 64 do t:phase_begin "deep" end
  has(raises("too many phases", function() t:phase_begin "deep" end), check.here())
  for _ = 1, 64 do t:phase_end() end
  has(raises("no phase is open", function() t:phase_end() end), check.here())
  equal(t:phase("closing", function() t:close() return 5 end), 5)
  raises("the tracker is closed", t.phase, t, "solve", print)
  t = ct.disabled()
  equal(t:phase_begin "any", "disabled")
  equal(t:phase_end(), "disabled")
  equal(t:phase("any", function() return 4 end), 4)
end

local function loops()
  local t = new { epochs = 5 }
  local seen = {}
  for e in t:epochs(5) do seen[#seen + 1] = e end
  equal(table.concat(seen, " "), "1 2 3 4 5")
  equal(t:value "/run/epochs_done", 5)
  t:close()

  t = new()
  for e in t:epochs(5) do
    if e == 3 then t:epoch_end() break end
  end
  equal(t:value "/run/epochs_done", 3)
  for _ in t:epochs(2) do t:epoch_end() end
  equal(t:value "/run/epochs_done", 5)
  for _ in t:epochs(0) do error "none" end
  for _ in t:epochs(0 / 0) do error "none" end
  equal(t:report "json":find("refused", 1, true), nil)
  t:close()

  t = new()
  for e in t:epochs(5) do
    if e == 3 then break end
  end
  equal(t:value "/run/epochs_done", CLOSES and 3 or 2)
  raises("in the loop", function() for _ in t:epochs(5) do error "in the loop" end end)
  t:epoch(function() end)
  equal(t:value "/run/epochs_done", CLOSES and 4 or 3)
  t:close()
end

-- The inner epochs count, and the outer ones are dropped; or Lua 5.4 raises an error. A message reports it each time.
local function nested_loops()
  local t = new()
  pcall(function() for _ in t:epochs(2) do for _ in t:epochs(2) do end end end)
  equal(t:value "/run/epochs_done", CLOSES and 0 or 4)
  local reported = 0
  for message in t:messages() do
    if message:find("ct_epoch_begin was refused once", 1, true) then reported = reported + 1 end
  end
  equal(reported, 1)
  has(t:report "json", CLOSES and "ct_epoch_begin was refused once" or "ct_epoch_begin was refused 2 times")
  t:close()
end

local function scopes_closed_by_hand()
  local t = new()
  local epoch = t:scope()
  epoch:close()
  epoch:close()
  epoch:cancel()
  t:scope():cancel()
  equal(t:value "/run/epochs_done", 1)
  epoch = t:scope()
  t:epoch_end()
  t:epoch_begin()
  epoch:close() -- the open epoch is another one
  t:epoch_end()
  equal(t:value "/run/epochs_done", 3)
  t:close()
end

local function budget()
  local t = new { epochs = 20000, budget_kwh = 1e-9 }
  local status
  for _ = 1, 10000 do -- The status depends on the sampler, which may wait on a busy machine.
    t:epoch_begin()
    check.pass_time(0.005)
    status = t:epoch_end()
    if status == "over_budget" then break end
  end
  equal(status, "over_budget")
  equal(t:over_budget(), true)
  has(table.concat({ t:message(), t:message(), t:message() }, "\n"), "budget")
  t:close()
  t = new { budget_kwh = 1e-9 }
  for done = 1, 10000 do
    check.pass_time(0.005)
    status = t:run_progress(done, 1e6)
    if status == "over_budget" then break end
  end
  equal(status, "over_budget")
  equal(t:over_budget(), true)
  t:close()
  t = new { epochs = 10, budget_kwh = 1000 }
  for _ in t:epochs(10) do equal(t:over_budget(), false) end
  t:close()
end

local function coroutines()
  local t = new()
  local function train()
    for e in t:epochs(3) do
      coroutine.yield(e)
      if jit or _VERSION ~= "Lua 5.1" then t:epoch_end() t:epoch(coroutine.yield, e) end
    end
  end
  local routine = coroutine.wrap(train)
  repeat collectgarbage() until not routine()
  that(t:value "/run/epochs_done" >= 3)
  t:close()
end

local function loaded_twice()
  local t = new()
  local garbage = {}
  for name in pairs(package.loaded) do
    if name:find "^carbontracker" then garbage[name] = package.loaded[name] package.loaded[name] = nil end
  end
  local again = require "carbontracker"
  that(again ~= ct, "loaded anew")
  local other = again.new(STEADY)
  garbage = nil
  collectgarbage()
  t:epoch_begin()
  other:epoch_begin()
  other:close()
  t:epoch_end()
  t:close()
end

local function many_trackers_at_once()
  local trackers = {}
  for i = 1, 20 do trackers[i] = new { name = "number " .. i } end
  for i, t in ipairs(trackers) do has(tostring(t), "number " .. i .. ":") t:close() end
end

version_and_backend()
options()
a_loop()
a_long_report()
misuse()
closed()
disabled()
a_function_as_an_epoch()
phases()
loops()
scopes_closed_by_hand()
budget()
coroutines()
loaded_twice()
many_trackers_at_once()
print "passed"
